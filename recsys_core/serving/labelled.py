"""What a bundle says of texts: classes, intents, attributes, and how well items answer a query.

Texts are read by the transformer of the student, which the first of these requests opens: a bundle that is never asked
neither loads nor holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recsys_core.arguments import is_missing, read_ids, read_list, show
from recsys_core.errors import RequestError
from recsys_core.serving.views import Views
from recsys_core.tasks import Kind, Product, clean_text

INTENT = "intent"  # the task that `intent` asks
MATCH = "match"  # the task that `match` asks before others of its kind
HOW = "learn it: recsys adapt --task {} --labels FILE, or deliver labels of it to the chain"


class LabelledTasks(Views):
    """The part of `Bundle` that answers labelled tasks."""

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Every labelled task that was tried, by name: kind, whether it is proven, reason, and how good it is."""
        return dict(self.manifest["tasks"])

    def classify(self, task: str, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """The classes of texts, by a task that was learned from a few labelled ones.

        Args:
            task: its name, one of `tasks`.
            texts: any; an item is classified by its text.

        Returns:
            per text classes and their probabilities, likeliest first; none where it is unsure, or where the text is of none
            of the classes.

        Raises:
            RequestError: no such task of classes, or a text that is empty, too long or none.

        Examples:
            >>> [[label for label, _ in found] for found in bundle.classify("intent", ["where is my order", "a glass teapot"])]
            [['delivery'], ['find']]
        """
        adapter = self._adapter(task, "classes")
        read = _read_texts(texts)
        found: list[list[tuple[str, float]]] = adapter.predict(self.parts.labelled.reader, read) if read else []
        return found

    def intent(self, text: str) -> list[tuple[str, float]]:
        """What one utterance or query wants: `classify` with the task named intent.

        Args:
            text: what the shopper says.

        Raises:
            RequestError: as `classify`.

        Examples:
            >>> [label for label, _ in bundle.intent("where is my order")]
            ['delivery']
        """
        return self.classify(INTENT, [text])[0]

    def extract(self, texts: Sequence[str], category: str | None = None) -> list[dict[str, str]]:
        """Attributes that texts name, by every proven task of spans; of two that know one attribute the first by name answers.

        Args:
            texts: titles or descriptions.
            category: of all of them, as in the items table; None: unknown.

        Returns:
            per text the attributes that were found, with their words.

        Raises:
            RequestError: no task of spans, or a text that is empty, too long or none.

        Examples:
            >>> bundle.extract(["Steel mug"])
            [{'material': 'Steel'}]
        """
        names, read = self._tasks_of("spans"), _read_texts(texts)
        if not names:
            raise RequestError("attributes", "the bundle has no proven task of spans", HOW.format("attributes"))
        categories = None if is_missing(category) else [clean_text(category, "category")] * len(read)
        found: list[dict[str, str]] = [{} for _ in read]
        for name in reversed(names if read else []):
            answers = self.parts.labelled.adapter(name).extract(self.parts.labelled.reader, read, categories)
            found = [one | answer for one, answer in zip(found, answers, strict=True)]
        return found

    def match(self, query: str, item_ids: Sequence[str] | None = None, texts: Sequence[str] | None = None) -> list[float]:
        """How well items, or any texts, answer a query: grades as learned, or where none were, words and meaning calibrated.

        Args:
            query: what is asked for.
            item_ids: of the catalogue.
            texts: in their place.

        Returns:
            a grade in [0, 1] per item or text; the least and the largest grade of the labels are 0 and 1.

        Raises:
            RequestError: both or neither of items and texts; an unknown item; a text that is empty, too long or none.

        Examples:
            >>> grades = bundle.match("glass teapot", ["k1", "d0"])
            >>> grades[0] > 0.5 > grades[1]
            True
        """
        if is_missing(item_ids) == is_missing(texts):
            raise RequestError("match", "needs either items or texts", "send one of them")
        parts, asked = self.parts.labelled, clean_text(query, "query")
        if texts is None:
            rows = self._rows(item_ids)
            products, vectors = [parts.product(row) for row in rows], parts.vectors(rows)
        else:
            products = [Product(text) for text in _read_texts(texts)]
            vectors = parts.reader.encode([one.text for one in products])
        if not products:
            return []
        names = sorted(self._tasks_of("match"), key=lambda name: name != MATCH)
        grader = parts.adapter(names[0]) if names else parts.unlabelled_match
        grades: list[float] = grader.grades(parts.reader, [asked] * len(products), products, vectors).tolist()
        return grades

    def _tasks_of(self, kind: Kind) -> list[str]:
        """Names of the proven tasks of a kind, sorted."""
        return sorted(name for name, about in self.manifest["tasks"].items() if about["proven"] and about["kind"] == kind)

    def _adapter(self, task: str, kind: Kind) -> Any:
        """A proven task's adapter.

        Raises:
            RequestError: the bundle has none of that name and kind.
        """
        names = self._tasks_of(kind)
        if task in names:
            return self.parts.labelled.adapter(task)
        if not isinstance(task, str):
            raise RequestError("task", f"{show(task)} is no name", "send a task's name")
        about = self.manifest["tasks"].get(task)
        why = "is unknown" if about is None else f"was refused ({about['reason']})" if not about["proven"] \
            else f"is one of {about['kind']}"
        raise RequestError("task", f"{task[:40]!r} {why}; tasks of {kind}: {', '.join(names) or 'none'}", HOW.format(task[:40]))

    def _rows(self, item_ids: Any) -> list[int]:
        """Catalogue rows of items.

        Raises:
            RequestError: no list of known ids.
        """
        found = []
        for item in read_ids(item_ids, "item_ids"):
            row = self.catalogue.row_of.get(item or "")
            if row is None:
                raise RequestError("item_ids", f"item {str(item)[:40]!r} is unknown", "send items of the catalogue, or texts")
            found.append(row)
        return found


def _read_texts(texts: Any) -> list[str]:
    """Texts cleaned as those of labels are; raises RequestError, see `clean_text`."""
    return [clean_text(text, f"texts, entry {place}") for place, text in enumerate(read_list(texts, "texts", "texts"))]
