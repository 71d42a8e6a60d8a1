# The commands of this project. `just` lists them.

export RAY_USAGE_STATS_ENABLED := "0"

_list:
    @just --list

# unit, scenario, simulation and cluster tests; arguments go to pytest
test *args:
    uv run --locked --all-extras pytest {{args}}

# format, lint and import rules
lint:
    uv run --locked ruff format .
    uv run --locked ruff check --fix .
    uv run --locked lint-imports

# mypy and pyright, both strict
types:
    uv run --locked --all-extras mypy
    uv run --locked --all-extras pyright

# all that CI checks, in a clean environment
ci:
    bash .ci/run

# the protocol under seeded faults, e.g. `just simulate --seed 7`
simulate *args:
    uv run --locked --all-extras raylite simulate {{args}}

# every decoder of bytes from disk or network, fed with damage, e.g. `just fuzz 20000` (examples for each)
fuzz examples="5000" *args:
    RAYLITE_FUZZ={{examples}} uv run --locked --all-extras pytest tests/fuzz --timeout 3600 {{args}}

# figures beside a bare Ray actor call
bench *args:
    uv run --locked --all-extras python -m benchmarks {{args}}

# kills, stops, cuts and damage of all actors under load, and a check of everything that clients were told
chaos *args:
    PYTHONPATH=. uv run --locked --all-extras python -m tests.chaos {{args}}

# how long writes pause when the primary is killed
failover *args:
    uv run --locked --all-extras python -m benchmarks.failover {{args}}

# what databases cost that nobody uses, and how fast they wake, e.g. `just hibernation --databases 1000`
hibernation *args:
    uv run --locked --all-extras python -m benchmarks.hibernation {{args}}

# how long a fork of a large database takes, beside a copy of the file, e.g. `just fork --megabytes 200`
fork *args:
    uv run --locked --all-extras python -m benchmarks.fork {{args}}

# how long a large table takes to read into Ray Data, beside sqlite3, e.g. `just read-sql --rows 200000`
read-sql *args:
    uv run --locked --all-extras python -m benchmarks.read_sql {{args}}

# cluster tests again and again, to find what fails seldom
soak times="10":
    for round in $(seq {{times}}); do uv run --locked --all-extras pytest tests/cluster || exit 1; done

# Python's tools inside Ray: tasks, actors, Serve, Ray Data
compat-ray *args:
    uv run --locked --all-extras pytest tests/compat/python {{args}}

# D1's own tools and libraries, unmodified: a Worker on workerd, drizzle, Prisma, wrangler, Cloudflare's SDK
compat *args:
    npm install --prefix tests/compat/clients --no-save --ignore-scripts --no-audit --no-fund
    uv run --locked --all-extras --group compat pytest tests/compat/clients {{args}}

# what D1 itself answers to the requests of tests/compat/d1_corpus, from the workerd that `just compat` installs
record-d1:
    uv run --locked --all-extras python -m tests.compat.d1_corpus.record tests/compat/clients/node_modules/@cloudflare/workerd-linux-64/bin/workerd

# the HTTP API's OpenAPI document against its answers, e.g. `just compat-openapi 500` (examples for each operation)
compat-openapi examples="50" *args:
    RAYLITE_OPENAPI={{examples}} uv run --locked --all-extras --group compat pytest tests/compat/openapi {{args}}

# SQLAlchemy's own suite for dialects
compat-sqlalchemy *args:
    cd tests/compat/sqlalchemy_suite && PYTHONPATH=../../.. uv run --locked --all-extras pytest -c pytest.ini {{args}}

# everything is lost but cold storage, on a real Ray node
recovery *args:
    uv run --locked --all-extras pytest tests/recovery {{args}}

# one transaction of 200 MB through a primary, five followers and three replicas
large mb="200":
    RAYLITE_LARGE_MB={{mb}} uv run --locked --all-extras pytest -s tests/cluster/test_large.py

# the main job, live
demo *args:
    uv run --locked raylite demo {{args}}
