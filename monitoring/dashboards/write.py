"""Writes the dashboards' JSON into the chart, for Kubernetes and for a Grafana of your own.

python write.py            writes
python write.py --check    prints what differs, and exits with 1
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import cache
import consistency
import experiment
import shoppers

WHERE = Path(__file__).resolve().parents[2] / "helm/toystore/files/dashboards"
DASHBOARDS = {
    "shoppers": shoppers,
    "consistency": consistency,
    "cache": cache,
    "experiment": experiment,
}


def main() -> int:
    made = {f"{name}.json": rendered(module) for name, module in DASHBOARDS.items()}
    there = {path.name: path.read_text() for path in WHERE.glob("*.json")}
    differs = sorted(name for name in made | there if made.get(name) != there.get(name))
    if "--check" in sys.argv:
        for name in differs:
            print(f"{WHERE.name}/{name} is out of date: run `just monitoring-write`")
        return bool(differs)
    for name in differs:
        if name in made:
            (WHERE / name).write_text(made[name])
        else:
            (WHERE / name).unlink()
        print(f"{WHERE.name}/{name}")
    return 0


def rendered(module: ModuleType) -> str:
    return JSONEncoder(sort_keys=True, indent=2).encode(module.build().build()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
