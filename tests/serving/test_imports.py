import subprocess
import sys

FORBIDDEN = ("dagster", "mlflow", "assets", "orchestration", "expectations", "torch", "transformers",
             "great_expectations", "onnxruntime", "sklearn", "scipy", "matplotlib", "recsys_core.ingestion",
             "recsys_core.features", "recsys_core.deployment", "recsys_core.distillation")


def modules_after(code: str) -> list[str]:
    """What a fresh process has loaded after some code."""
    ran = subprocess.run([sys.executable, "-c", f"import sys; {code}; print(' '.join(sys.modules))"], capture_output=True,
                         text=True, check=True)
    return ran.stdout.split()


def test_serving_imports_nothing_it_does_not_need():
    loaded = modules_after("import recsys_core.serving.bundle, recsys_core.cli.main")
    assert "recsys_core.serving.bundle" in loaded and [name for name in FORBIDDEN if name in loaded] == []


def test_answering_imports_nothing_more(bundle_folder):
    asked = "[], segment='store', context={'store': '367'}, shelf='window'"
    loaded = modules_after(f"from recsys_core.serving import Bundle; Bundle.load({str(bundle_folder)!r}).recommend({asked})")
    assert "recsys_core.adaptation.family" in loaded and [name for name in FORBIDDEN if name in loaded] == []
