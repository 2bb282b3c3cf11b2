# syntax=docker/dockerfile:1
# One image for every role: workers of each queue, beat, the producer. It is built by `docker build .` alone.

FROM python:3.11-slim-bookworm AS build
COPY requirements/image.txt /requirements.txt
# Wheels only: there is no compiler here. What installs is not wanted where it is used.
RUN python -m venv /opt/fleet \
    && /opt/fleet/bin/pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: \
       --requirement /requirements.txt \
    && /opt/fleet/bin/pip uninstall --yes pip setuptools \
    && find /opt/fleet -type d -name tests -prune -exec rm -rf {} + \
    && printf '#!/opt/fleet/bin/python\nfrom app.cli.main import main\nif __name__ == "__main__":\n    main()\n' \
       > /opt/fleet/bin/fleet \
    && chmod 755 /opt/fleet/bin/fleet \
    && echo /srv/fleet > /opt/fleet/lib/python3.11/site-packages/pdf-fleet.pth \
    && python -m compileall -q -j 0 /opt/fleet/lib

FROM python:3.11-slim-bookworm
COPY --from=build /opt/fleet /opt/fleet
WORKDIR /srv/fleet
COPY app app
# Compiled now: a read-only root has nowhere to keep it, and every start would compile anew.
RUN python -m compileall -q app
# A name for the user and its group: Celery takes a group that it cannot look up for root's.
RUN groupadd --gid 10001 fleet && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin fleet
ENV PATH=/opt/fleet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
CMD ["fleet", "--help"]
