"""Reading the samples that `/metrics` tells."""

from prometheus_client.parser import text_string_to_metric_families

TOKEN = "of-the-tests-and-nobody-else-0123456789"


def sample(text: str, name: str, **labels: str) -> float | None:
    families = text_string_to_metric_families(text)
    found = [s.value for family in families for s in family.samples if s.name == name and s.labels == labels]
    return found[0] if found else None
