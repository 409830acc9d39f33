import subprocess
import sys

FORBIDDEN = ("dagster", "mlflow", "assets", "orchestration", "expectations", "torch", "transformers",
             "great_expectations", "onnxruntime", "sklearn", "matplotlib", "recsys_core.ingestion",
             "recsys_core.features", "recsys_core.deployment", "recsys_core.distillation")


def test_serving_imports_nothing_it_does_not_need():
    code = ("import sys, recsys_core.serving, recsys_core.serving.cli, recsys_core.serving.evaluate;"
            "print(' '.join(sys.modules))")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    assert "recsys_core.serving.bundle" in loaded and [name for name in FORBIDDEN if name in loaded] == []
