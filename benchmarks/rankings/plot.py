"""One picture of the result: NDCG@10 of every system on the two public data sets, intervals where we measured them."""

from __future__ import annotations

from pathlib import Path

from recsys_core.artefacts import staged_file


def draw(tables: dict[str, list[dict]], path: Path) -> None:
    """Horizontal bars per table, ours in another colour, best on top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {title: rows for title, rows in tables.items() if rows and "ndcg@10" in rows[0]}
    if not shown:
        return
    figure = Figure(figsize=(9, 1 + 0.28 * sum(len(rows) + 2 for rows in shown.values())), layout="constrained")
    heights = [len(rows) + 2 for rows in shown.values()]
    axes = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, rows) in zip(axes, shown.items(), strict=True):
        rows = sorted(rows, key=lambda row: row["ndcg@10"])
        values = [row["ndcg@10"] for row in rows]
        spans = [[row["ndcg@10"] - (row.get("ndcg@10 low") or row["ndcg@10"]) for row in rows],
                 [(row.get("ndcg@10 high") or row["ndcg@10"]) - row["ndcg@10"] for row in rows]]
        ours = ["#c44e52" if row["system"] == "this ranker" else "#8c9bb0" for row in rows]
        names = [", ".join(str(row[key]) for key in ("system", "fitted on", "seen items") if key in row)
                 for row in rows]
        axis.barh(names, values, color=ours, xerr=spans, error_kw={"lw": 1, "ecolor": "#333333"})
        axis.set(title=title, xlabel="NDCG@10, full ranking, 95% interval over users")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    with staged_file(path) as staging:
        FigureCanvasAgg(figure).print_figure(str(staging), format="png", dpi=130)
