"""What the workers of a kill test serve: the shop itself, with places to fail at, and with one bug where a test of the
test asks for it."""

from tests.chaos import failpoints, mutants

failpoints.install()

from shop.wsgi import application as shop  # noqa: E402  # loads Django, which must find the places

mutants.plant()
application = failpoints.around(shop)
