"""Logs an audit to MLflow, or to Weights & Biases, through its plain JSON files; this package needs neither.

    badllmtg audit rows.csv --out run
    python examples/log_audit.py run mlflow      # or wandb
"""

import json
import sys
from pathlib import Path

FILES = ("results.json", "search.json", "flagged.csv", "report.html")


def figures(results: dict) -> dict[str, float]:
    """The numbers of an audit that are worth a curve."""
    told = {
        "found": float(results["verdict"] == "backdoor"),
        "complete": float(results["complete"]),
        "rows": results["rows"],
        "flagged_rows": results["report"]["flagged_rows"],
        "seconds": results["seconds"],
    }
    return told | {f"CACC {line['name']}": line["CACC"] for line in results["lines"]}


def main(folder: Path, tool: str) -> None:
    """Logs the figures, and the files as artefacts."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if tool == "mlflow":
        import mlflow

        with mlflow.start_run(run_name=f"audit of {results['dataset']}"):
            mlflow.set_tag("verdict", results["verdict"])
            mlflow.log_metrics(figures(results))
            for file in files:
                mlflow.log_artifact(str(file))
    elif tool == "wandb":
        import wandb

        run = wandb.init(job_type="audit", config={"dataset": results["dataset"], "seed": results["seed"]})
        run.summary.update({"verdict": results["verdict"], **figures(results)})
        artefact = wandb.Artifact("audit", type="audit")
        for file in files:
            artefact.add_file(str(file))
        run.log_artifact(artefact)
        run.finish()
    else:
        raise SystemExit(f"expected 'mlflow' or 'wandb', got '{tool}'")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("expected the folder of an audit and 'mlflow' or 'wandb': python log_audit.py RUN mlflow")
    main(Path(sys.argv[1]), sys.argv[2])
