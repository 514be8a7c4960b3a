"""For load balancers and people: is the process alive, and can it serve?"""

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from shop.toolkit.problems import problem


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nothing of the database: restarting us would not mend it."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers and has every migration: requests may come."""
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return problem(503, "database_unavailable", "Database unavailable", "The database does not answer.")
    if pending:
        detail = f"{len(pending)} migrations are missing; run `manage.py migrate`."
        return problem(503, "database_unavailable", "Database not ready", detail)
    return JsonResponse({"status": "ready"})
