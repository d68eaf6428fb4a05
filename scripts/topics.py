"""Creates the topics of `libs.bus.topics` on the Kafka of `RESEDGE_KAFKA_SERVERS`, and says what differs.

`python -m scripts.topics [--servers HOST:PORT] [--prefix P]`; exit 1 where a topic that was there is not as it should
be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from libs.bus.topics import TOPICS, ensure_topics


def main() -> int:
    """Create what is missing and print a line for each topic made and each difference."""
    parser = argparse.ArgumentParser(prog="scripts/topics", description="Create the topics on Kafka.")
    parser.add_argument("--servers", default=os.environ.get("RESEDGE_KAFKA_SERVERS", ""), metavar="HOST:PORT")
    parser.add_argument("--prefix", default="", help="put before every name")
    said = parser.parse_args()
    if not said.servers:
        parser.error("name the brokers: --servers HOST:PORT, or RESEDGE_KAFKA_SERVERS")
    report = asyncio.run(ensure_topics(said.servers, prefix=said.prefix))
    for name in report.created:
        print(f"created {name}")
    for sentence in report.differing:
        print(f"differs: {sentence}", file=sys.stderr)
    if not report.created and not report.differing:
        print(f"all {len(TOPICS)} topics are there, as they should be")
    return 1 if report.differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
