"""What does an Idempotency-Key cost a checkout? `make bench-idempotency`

One-line checkouts through the whole request stack in one process, with a key and without in turns.
"""

import statistics
import time
from uuid import uuid4

from benchmarks import log_to_nowhere, migrated_server

ROUNDS = 1000


def main() -> None:
    import django

    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["testserver"]
    log_to_nowhere()
    from tests import factories

    product = factories.product(stock=10_000_000)
    client = factories.client(factories.user())
    body = {"items": [{"product_id": product.id, "quantity": 1}]}
    times: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(ROUNDS):
        for name, found in times.items():
            headers = {"idempotency-key": str(uuid4())} if name == "with" else {}
            started = time.perf_counter()
            response = client.post("/api/v1/orders", body, headers=headers)
            found.append(time.perf_counter() - started)
            assert response.status_code == 201
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"median of {ROUNDS}: a key makes a checkout take {medians['with'] / medians['without']:.2f} times as long")


if __name__ == "__main__":
    with migrated_server():
        main()
