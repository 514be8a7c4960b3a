"""For load balancers and people: is the process alive, and can it serve?"""

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from shop.toolkit.problems import problem


def _method_not_allowed() -> HttpResponse:
    return problem(405, "method_not_allowed", "Method not allowed", "GET or HEAD.", headers={"Allow": "GET, HEAD"})


@csrf_exempt
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nothing of the database: restarting us would not mend it."""
    if request.method not in ("GET", "HEAD"):
        return _method_not_allowed()
    return JsonResponse({"status": "ok"})


@csrf_exempt
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers and has every migration: requests may come."""
    if request.method not in ("GET", "HEAD"):
        return _method_not_allowed()
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        return problem(503, "database_unavailable", "Database unavailable", "The database does not answer.")
    if pending:
        detail = f"{len(pending)} migrations are missing; run `manage.py migrate`."
        return problem(503, "database_unavailable", "Database not ready", detail)
    return JsonResponse({"status": "ready"})
