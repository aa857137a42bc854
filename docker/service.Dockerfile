# The example services. The build context is the root of the repository.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The verifier, FastAPI and a server: no Redis client, no password hash, no issuer.
COPY requirements.lock docker/lock_subset.py ./
RUN python lock_subset.py requirements.lock hatchling grpcio-tools > tools.txt \
    && python lock_subset.py requirements.lock \
        tocsin-schemas tocsin-revocation-bus tocsin-verifier-agent uvicorn > runtime.txt

# nkeys is published as source only.
RUN python -m venv --without-pip /opt/tocsin \
    && pip install --only-binary :all: --require-hashes -r tools.txt \
    && pip --python /opt/tocsin/bin/python install \
        --only-binary :all: --no-binary nkeys --require-hashes -r runtime.txt

COPY schemas schemas
COPY revocation_bus revocation_bus
COPY verifier_agent verifier_agent
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir wheels \
        ./schemas ./revocation_bus ./verifier_agent \
    && pip --python /opt/tocsin/bin/python install --no-deps --no-index wheels/*.whl

FROM python:3.12-slim
COPY --from=build /opt/tocsin /opt/tocsin
WORKDIR /srv
COPY examples/__init__.py examples/
COPY examples/orders examples/orders
COPY examples/inventory examples/inventory
ENV PATH=/opt/tocsin/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
CMD ["uvicorn", "examples.orders.service:app", "--host", "0.0.0.0", "--port", "8000"]
