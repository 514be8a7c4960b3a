import os

from django.core.wsgi import get_wsgi_application

from shop.toolkit.chunked import with_length

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

application = with_length(get_wsgi_application())
