"""The shop with an app more."""

from shop import settings

vars().update({name: value for name, value in vars(settings).items() if name.isupper()})
INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.later"]
