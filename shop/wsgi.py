import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from shop.toolkit.http.concurrency import limit_concurrency
from shop.toolkit.http.request_bodies import read_bodies_first

application = read_bodies_first(limit_concurrency(get_wsgi_application(), settings.THREADS))
