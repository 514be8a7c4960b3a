"""For load balancers and people: is the process alive, and can it serve?"""

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from shop.toolkit.http.problems import method_not_allowed, problem

# A pooler between us and the database may not pass on what a connection asks to be set.
UNSAFE = """
SELECT string_agg(name || ' is ' || setting, ', ' ORDER BY name) FROM pg_settings
 WHERE name = 'default_transaction_isolation' AND setting <> 'read committed'
    OR name IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout') AND setting = '0'
"""


def _unsafe_settings() -> str | None:
    """Return what of a connection's settings would oversell, or wait for ever."""
    with connection.cursor() as cursor:
        cursor.execute(UNSAFE)
        (unsafe,) = cursor.fetchall()[0]
    return None if unsafe is None else str(unsafe)


def _not_ready(detail: str) -> HttpResponse:
    return problem(503, "database_unavailable", "Database not ready", detail)


@csrf_exempt
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nothing of the database: restarting us would not mend it."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET, HEAD")
    return JsonResponse({"status": "ok"})


@csrf_exempt
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers, has every migration, and gives up waiting in time: requests may come."""
    if request.method not in ("GET", "HEAD"):
        return method_not_allowed("GET, HEAD")
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        unsafe = _unsafe_settings()
    except Error:
        return problem(503, "database_unavailable", "Database unavailable", "The database does not answer.")
    if pending:
        return _not_ready(f"{len(pending)} migrations are missing; run `manage.py migrate`.")
    if unsafe:
        return _not_ready(f"The connections are not set as they must be: {unsafe}. See DATABASE_POOLER.")
    return JsonResponse({"status": "ready"})
