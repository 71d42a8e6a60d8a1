"""A Ray Data job over a raylite database: revenue by country, read in parallel and written back in one transaction.

    python examples/ray_data_job.py [NAME]

It makes the database with some orders if it does not exist. Every part is read at one bookmark, so orders that come in
meanwhile are in no part.
"""

import sys

import ray

import raylite
from raylite import dbapi

COUNTRIES = ("at", "ch", "de", "fr")


def prepare(name: str) -> None:
    """Some orders to count, once."""
    with dbapi.connect(name, create=True) as connection:
        connection.executescript(
            """
            CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, country TEXT NOT NULL, cents INTEGER NOT NULL);
            CREATE TABLE IF NOT EXISTS revenue (country TEXT PRIMARY KEY, cents INTEGER NOT NULL);
            """
        )
        if connection.execute("SELECT 1 FROM orders LIMIT 1").fetchone() is None:
            rows = [(COUNTRIES[n % 4], 100 + n) for n in range(1000)]
            connection.executemany("INSERT INTO orders (country, cents) VALUES (?, ?)", rows)


@ray.remote(num_cpus=0.1)
def store(name: str, totals: list[tuple[str, int]]) -> int:
    """In a task the database's name is enough; all rows are written, or none."""
    with dbapi.connect(name) as connection:
        return connection.executemany("REPLACE INTO revenue VALUES (?, ?)", totals).rowcount


def main(name: str) -> None:
    """Reads, adds up, writes back and shows what is there then."""
    prepare(name)
    orders = raylite.read_sql("SELECT id, country, cents FROM orders", name, parallelism=4, column="id")
    sums = orders.groupby("country").sum("cents").take_all()
    written = ray.get(store.remote(name, [(row["country"], row["sum(cents)"]) for row in sums]))
    print(f"{orders.count()} orders in {orders.materialize().num_blocks()} blocks, {written} countries")
    for country, cents in dbapi.connect(name).execute("SELECT country, cents FROM revenue ORDER BY country"):
        print(country, cents)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "shop")
    raylite.shutdown()
