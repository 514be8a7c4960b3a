"""Settings, from the environment alone (12-factor). docs/settings.md lists each variable; a test compares them."""

import hashlib
import hmac
import sys
import zoneinfo
from datetime import timedelta
from importlib.util import find_spec

import dj_database_url

from shop import serving, theme
from shop.environment import choice, env, rate, required, strong, whole_number, words
from shop.toolkit.db.postgresql.connection import KeepingConnection
from shop.toolkit.money import EXPONENTS

# --- Secrets ---------------------------------------------------------------------------------------------------------

SECRET_KEY = strong(
    "SECRET_KEY", required("SECRET_KEY", "Set it to a long random string that stays the same over restarts.")
)
# Tokens are signed with a key of their own; without one it is derived, so that neither key gives the other away.
JWT_SIGNING_KEY = strong(
    "JWT_SIGNING_KEY",
    env.str("JWT_SIGNING_KEY", default="")
    or hmac.digest(SECRET_KEY.encode(), b"shop.jwt-signing-key", hashlib.sha256).hex(),
)
# What they signed before is still read: a new key becomes the first, and the old one stays here for two weeks.
JWT_PREVIOUS_KEYS = [strong("JWT_PREVIOUS_KEYS", key) for key in words("JWT_PREVIOUS_KEYS", default=[])]

# --- Who is served ---------------------------------------------------------------------------------------------------

# Off for one's own machine alone: cookies and tokens then cross the network for everybody to read.
HTTPS = choice("HTTPS", default="on", choices=("on", "off")) == "on"
DEBUG = env.bool("DEBUG", default=False)
if DEBUG and HTTPS:
    sys.exit("DEBUG is on: its pages show secrets to whoever makes one fail. It is for HTTPS=off, on your own machine.")
ALLOWED_HOSTS = words("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
if "*" in ALLOWED_HOSTS:
    sys.exit("ALLOWED_HOSTS is '*': name the hosts, else links in mails go where whoever asks for them wants.")
# How many proxies of ours a request passes; each adds to X-Forwarded-For and says X-Forwarded-Proto.
TRUSTED_PROXIES = whole_number("TRUSTED_PROXIES", default=0, at_least=0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_SSL_REDIRECT = HTTPS
# What asks this very server, by whatever address it has, and is told no links.
# What everybody may read, and a cache may keep for those who ask without a token.
PUBLIC_READS = ("/api/v1/products", "/api/v1/inventory/check", "/api/schema", "/api/docs", "/static/")
API_PATHS = ("/api/", "/check_stock", "/update_stock", "/create_order")
SERVER_PATHS = ("/healthz", "/readyz", "/metrics")
SECURE_REDIRECT_EXEMPT = [rf"^{path[1:]}$" for path in SERVER_PATHS]
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if HTTPS else 0
# Whether the names below ours, and ours for good, speak HTTPS only their owner knows.
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = choice("HSTS", default="host", choices=("host", "all")) == "all"
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 12 * 60 * 60  # a working day
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
# Pages of other origins may call the API only where they are named.
CORS_ALLOWED_ORIGINS = words("CORS_ALLOWED_ORIGINS", default=[])
CORS_ALLOW_HEADERS = ("accept", "authorization", "content-type", "idempotency-key")
CORS_EXPOSE_HEADERS = ("Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID")
CORS_URLS_REGEX = r"^/(api/.*|check_stock|update_stock|create_order)$"

# Where `run` and `serve` listen, and how many processes they serve with: one for each processor.
PORT = whole_number("PORT", default=8000, at_least=1, at_most=65535)
WEB_WORKERS = whole_number("WEB_WORKERS", default=serving.WORKERS, at_least=1)

# --- Throttles -------------------------------------------------------------------------------------------------------

# Failed logins of an account, and ten times as many from an address; counted in the database, for all processes.
THROTTLE_LOGIN = rate("THROTTLE_LOGIN", default="10/15m")
# Registrations from an address, counted like failed logins; as many as logins of an address may fail.
THROTTLE_REGISTER = rate("THROTTLE_REGISTER", default="100/15m")
# Requests of a worker's client; off, since a storefront's server may ask for all its visitors by one account.
THROTTLE_ANON = rate("THROTTLE_ANON", default="off")
THROTTLE_USER = rate("THROTTLE_USER", default="off")
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}
CACHES["default"].setdefault("OPTIONS", {})
if CACHES["default"]["BACKEND"].endswith("LocMemCache"):
    CACHES["default"]["OPTIONS"]["MAX_ENTRIES"] = 100_000

# --- Database --------------------------------------------------------------------------------------------------------

# A request waits for a lock for less time than a statement may take, and that for less than a proxy waits for us.
CONNECTION_SETTINGS = {
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "5s",
    "client_connection_check_interval": "2s",
    # Under REPEATABLE READ a check after a lock would still see the stock from before it, and oversell.
    "default_transaction_isolation": "read\\ committed",
    # What is prepared has one good plan. By itself the server would plan the longer statements anew each time: 0.4 ms
    # of a check's 0.43 (docs/performance.md).
    "plan_cache_mode": "force_generic_plan",
    # With PostgreSQL's own 4.0 that one plan reads a small table whole, for as long as it is kept: ten times as long as
    # by the index already with 1,000 stock rows.
    "random_page_cost": "1.1",
}
# Connections each process keeps; it is also how many requests it works on at once. 0: no pool.
DATABASE_POOL_SIZE = whole_number("DATABASE_POOL_SIZE", default=serving.THREADS, at_least=0)
THREADS = DATABASE_POOL_SIZE or serving.THREADS
# Uses of a statement on a connection before the server keeps its plan; psycopg's own default.
PREPARE_AFTER = 5


# What may stand before a database. A pooler that gives each transaction whatever connection is free (PgBouncer in
# transaction mode) says itself what a connection is set to, and nothing outlives a transaction.
POOLERS = ("none", "transaction")
DATABASE_POOLER = choice("DATABASE_POOLER", default="none", choices=POOLERS)
POOLED_BY_TRANSACTION = DATABASE_POOLER == "transaction"


def database(url: str, *, pooled: bool, **more: str) -> dict[str, object]:
    """Return what Django must know of a database; what `url` asks for (sslmode, options ...) reaches the driver."""
    found = dj_database_url.parse(url)
    asked = found.get("OPTIONS", {})
    wishes = {} if pooled else {**CONNECTION_SETTINGS, **more}
    options = " ".join([*(f"-c {name}={value}" for name, value in wishes.items()), asked.get("options", "")]).strip()
    return {
        **found,
        "ENGINE": "shop.toolkit.db.postgresql",
        "CONN_MAX_AGE": 0,  # the pool keeps the connections
        "DISABLE_SERVER_SIDE_CURSORS": pooled,
        "OPTIONS": {
            "tcp_user_timeout": 10_000,
            # A server that is gone without a word, for whoever waits for its answer and for whoever connects.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "connect_timeout": 2,
            "application_name": "shop",
            "prepare_threshold": None if pooled else PREPARE_AFTER,
            **asked,
            **({"options": options} if options else {}),
            # One connection for each request at work (shop.toolkit.http.concurrency), or a 503 after two seconds.
            "pool": DATABASE_POOL_SIZE
            and {
                "min_size": 1,
                "max_size": DATABASE_POOL_SIZE,
                "timeout": 2,
                # The pool asks for a lost connection at ever longer intervals. Having given up, it asks when somebody
                # wants one: a server that is back after half a minute must not be found after another.
                "reconnect_timeout": 2,
                "connection_class": KeepingConnection,
            },
        },
    }


DATABASES = {
    "default": database(
        required("DATABASE_URL", "Set it to postgres://user:password@host:5432/name."), pooled=POOLED_BY_TRANSACTION
    )
}
# A copy that follows the primary: what is only shown may be read there, a moment late. Nothing is decided by it.
if DATABASE_REPLICA_URL := env.str("DATABASE_REPLICA_URL", default=""):
    DATABASES["replica"] = {
        **database(
            DATABASE_REPLICA_URL,
            pooled=choice("DATABASE_REPLICA_POOLER", default=DATABASE_POOLER, choices=POOLERS) == "transaction",
            default_transaction_read_only="on",
        ),
        "TEST": {"MIRROR": "default"},
    }
DATABASE_REPLICA_MAX_LAG_SECONDS = whole_number("DATABASE_REPLICA_MAX_LAG_SECONDS", default=30, at_least=1)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Users -----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
PASSWORD_HASHERS = ["users.hashing.OneAtATime"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Whether staff need the code of an authenticator app beside their password; `manage.py second_factor` gives them one.
SECOND_FACTOR = choice("SECOND_FACTOR", default="off", choices=("on", "off")) == "on"
OTP_TOTP_ISSUER = "Shop"

# --- Mail ------------------------------------------------------------------------------------------------------------

vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="shop@localhost")
PASSWORD_RESET_TIMEOUT = 60 * 60
# The storefront's page where a new password is set; {token} stands for the token.
PASSWORD_RESET_URL = env.str("PASSWORD_RESET_URL", default="")
# The page where a new address is confirmed; its tokens are good for as long as those of new passwords.
EMAIL_CHANGE_URL = env.str("EMAIL_CHANGE_URL", default="")

# --- Traces ----------------------------------------------------------------------------------------------------------

# Where an OpenTelemetry collector listens, such as http://collector:4318; without one nothing is traced.
TRACES_GO_TO = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
JOB_MIDDLEWARE = ["shop.toolkit.telemetry.tracing.trace_jobs"] if TRACES_GO_TO else []

# --- Apps ------------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "shop",  # before the theme, whose first page it replaces
    "unfold.apps.BasicAppConfig",
    "shop.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "procrastinate.contrib.django",
    "shop.toolkit",
    *(["shop.local"] if find_spec("shop.local") else []),  # the image does not contain it
    "users",
    "inventory",
    "products",
    "orders",
]
MIDDLEWARE = [
    "shop.toolkit.telemetry.metrics.measure_requests",
    *(["shop.toolkit.telemetry.tracing.trace_requests"] if TRACES_GO_TO else []),
    "shop.toolkit.http.middleware.name_requests",
    # What gives every answer its headers comes before what refuses.
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "shop.toolkit.http.middleware.content_security_policy",
    "shop.toolkit.http.middleware.forbid_keeping",
    *(["corsheaders.middleware.CorsMiddleware"] if CORS_ALLOWED_ORIGINS else []),
    "shop.toolkit.http.error_pages.show_pages",
    "shop.toolkit.http.middleware.refuse_large",
    "shop.toolkit.http.middleware.refuse_charsets",
    "shop.toolkit.http.middleware.refuse_nul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "shop.toolkit.http.middleware.PageSessions",
    "shop.toolkit.http.middleware.KnownHosts",
    "django.middleware.csrf.CsrfViewMiddleware",
    "shop.toolkit.http.middleware.PageUsers",
    *(["django_otp.middleware.OTPMiddleware"] if SECOND_FACTOR else []),
    "shop.toolkit.http.middleware.PageMessages",
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
LOGIN_REDIRECT_URL = "admin:index"
CSRF_FAILURE_VIEW = "shop.toolkit.http.problems.csrf_failed"
APPEND_SLASH = False  # the contract has no trailing slashes, and no redirects that lose a request body

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # the files of the installed packages are served as they are; nothing to collect first

USE_TZ = True
FORMAT_MODULE_PATH = "shop.formats"
# Of calendar days: filters by a date, order numbers, the staff's screens. Moments are UTC everywhere else.
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    zoneinfo.ZoneInfo(TIME_ZONE)
except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
    sys.exit(f"TIME_ZONE is {TIME_ZONE!r}; a name such as Europe/Berlin is needed.")
LANGUAGE_CODE = "en-us"

# --- Admin -----------------------------------------------------------------------------------------------------------

UNFOLD = theme.UNFOLD

# --- API -------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["users.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["shop.toolkit.http.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "shop.schema.OperationSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "shop.answers.answer",
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": True,
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "SIGNING_KEY": JWT_SIGNING_KEY,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Shop",
    "DESCRIPTION": "Products, stock, orders and users of a shop that never sells what it does not have.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": r"/api/v1/",
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "shop.schema.complete"],
    "ENUM_NAME_OVERRIDES": {
        "OrderStatus": "orders.models.Status",
        "ImportMode": "inventory.imports.vocabulary.Mode",
        "ImportStatus": "inventory.imports.vocabulary.ImportStatus",
    },
}

# --- The shop --------------------------------------------------------------------------------------------------------

DEFAULT_CURRENCY = env.str("DEFAULT_CURRENCY", default="EUR")
if DEFAULT_CURRENCY not in EXPONENTS:
    sys.exit(f"DEFAULT_CURRENCY is {DEFAULT_CURRENCY!r}; an ISO 4217 code such as EUR is needed.")
RESERVATION_TTL_SECONDS = whole_number("RESERVATION_TTL_SECONDS", default=15 * 60, at_least=1)
RESERVATION_MAX_AGE_SECONDS = whole_number("RESERVATION_MAX_AGE_SECONDS", default=2 * 60 * 60, at_least=1)
if RESERVATION_TTL_SECONDS > RESERVATION_MAX_AGE_SECONDS:
    sys.exit("RESERVATION_TTL_SECONDS is more than RESERVATION_MAX_AGE_SECONDS: no hold could last so long.")
# How long after its hold's deadline an order may still be confirmed, at an unchanged price.
LATE_CONFIRM_SECONDS = whole_number("LATE_CONFIRM_SECONDS", default=24 * 60 * 60, at_least=0)
# Whether customers may confirm their own orders: for shops that sell on account. Else whoever checks payments does it.
CUSTOMERS_MAY_CONFIRM = choice("CUSTOMERS_MAY_CONFIRM", default="off", choices=("on", "off")) == "on"
# The most units that one user may have in orders that nothing was paid for.
MAX_HELD_UNITS_PER_USER = (
    None
    if env.str("MAX_HELD_UNITS_PER_USER", default="1000") == "off"
    else whole_number("MAX_HELD_UNITS_PER_USER", default=1000, at_least=1)
)

# A file that is sent to the API; packed, it may unpack to ten times as much.
MAX_UPLOAD_BYTES = whole_number("MAX_UPLOAD_BYTES", default=20 * 1024 * 1024, at_least=1)

# --- Metrics ---------------------------------------------------------------------------------------------------------

# Who may read /metrics; without a token, nobody.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
if METRICS_TOKEN:
    strong("METRICS_TOKEN", METRICS_TOKEN)

# --- Logs ------------------------------------------------------------------------------------------------------------

LOG_FORMAT = choice("LOG_FORMAT", default="json", choices=("json", "line"))
# What a client alone causes: refused in the answer, and else a traceback in the log for whoever likes to write one.
REFUSED_BY_DJANGO = (
    "DisallowedHost",
    "RequestDataTooBig",
    "SuspiciousMultipartForm",
    "TooManyFieldsSent",
    "TooManyFilesSent",
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "shop.toolkit.telemetry.logs.formatter"},
        "line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
    },
    "filters": {
        # Busy is an answer; that the database is away is told where it is found out.
        "no_503": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", 0) != 503,
        },
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # A refusal is an answer, not an event for the log.
        "django.request": {"handlers": ["stderr"], "level": "ERROR", "filters": ["no_503"], "propagate": False},
        # It tells of each job that it begins and ends; what fails it tells above that.
        "procrastinate": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        **{f"django.security.{kind}": {"handlers": ["nowhere"], "propagate": False} for kind in REFUSED_BY_DJANGO},
    },
}
