// Uses all of workerd's D1 binding, and tells what it gave; the test compares. Bindings: WEUR and APAC, one database.

const failures = async (work) => {
  try {
    return { value: await work() };
  } catch (error) {
    return { error: error.message, cause: error.cause?.message };
  }
};

const near = async (session, region) => {
  for (let attempt = 0; attempt < 200; attempt++) {
    const { meta } = await session.prepare("SELECT 1").run();
    if (meta.served_by_region === region && !meta.served_by_primary) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
};

const cases = {
  async statements({ WEUR: db }) {
    await db.exec("DROP TABLE IF EXISTS books");
    await db.exec("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT UNIQUE, price REAL, cover BLOB)");
    const insert = db.prepare("INSERT INTO books (title, price, cover) VALUES (?, ?2, ?3)");
    const first = await insert.bind("Ulysses", 12.5, new Uint8Array([0, 255])).run();
    const second = await insert.bind("Emma", 3, null).run();
    const all = await db.prepare("SELECT * FROM books ORDER BY id").all();
    const one = db.prepare("SELECT title, price FROM books WHERE id = ?").bind(1);
    return {
      metas: [first.meta, second.meta].map(({ changes, last_row_id, changed_db }) => [changes, last_row_id, changed_db]),
      success: all.success,
      rows: all.results.map((row) => ({ ...row, cover: row.cover && Array.from(row.cover) })),
      first: await one.first(),
      column: await one.first("title"),
      none: await db.prepare("SELECT * FROM books WHERE id = 99").first(),
      raw: await one.raw(),
      named: await one.raw({ columnNames: true }),
      returning: (await db.prepare("UPDATE books SET price = price + 1 RETURNING id").run()).results,
      types: await db.prepare("SELECT typeof(?1), typeof(?2), typeof(?3), typeof(?4)").bind(1, "a", true, null).raw(),
    };
  },

  async batches({ WEUR: db }) {
    await db.exec("DROP TABLE IF EXISTS t");
    await db.exec("CREATE TABLE t (n INTEGER PRIMARY KEY)");
    const insert = db.prepare("INSERT INTO t VALUES (?)");
    const good = await db.batch([insert.bind(1), insert.bind(2), db.prepare("SELECT count(*) AS n FROM t")]);
    const bad = await failures(() => db.batch([insert.bind(3), insert.bind(1)]));
    const ran = await db.exec("INSERT INTO t VALUES (4)\nINSERT INTO t VALUES (5); INSERT INTO t VALUES (6)");
    const stopped = await failures(() => db.exec("INSERT INTO t VALUES (7)\nINSERT INTO t VALUES (7)"));
    return {
      good: good.map(({ results, meta }) => [results, meta.changes]),
      bad,
      count: ran.count,
      duration: typeof ran.duration,
      stopped,
      left: (await db.prepare("SELECT n FROM t ORDER BY n").raw()).flat(),
    };
  },

  async errors({ WEUR: db }) {
    await db.exec("DROP TABLE IF EXISTS u");
    await db.exec("CREATE TABLE u (name TEXT UNIQUE)");
    await db.prepare("INSERT INTO u VALUES ('a')").run();
    const texts = [
      "SELECT * FRM u", "SELECT * FROM nope", "INSERT INTO u VALUES ('a')", "PRAGMA journal_mode", "SELECT ?", " -- ",
      "BEGIN",
    ];
    const found = {};
    for (const text of texts) found[text] = await failures(() => db.prepare(text).all());
    found.column = await failures(() => db.prepare("SELECT 1 AS a").first("b"));
    found.type = await failures(() => db.prepare("SELECT ?").bind(undefined).all());
    found.dump = await failures(() => db.dump());
    return found;
  },

  async sessions({ WEUR, APAC }) {
    await WEUR.exec("DROP TABLE IF EXISTS s");
    await WEUR.exec("CREATE TABLE s (n INTEGER)");
    const regions = [await near(WEUR.withSession(), "WEUR"), await near(APAC.withSession(), "APAC")];
    const session = WEUR.withSession();
    const unused = session.getBookmark();
    let stale = 0;
    const bookmarks = [];
    for (let n = 1; n <= 20; n++) {
      await session.prepare("INSERT INTO s VALUES (?)").bind(n).run();
      const there = APAC.withSession(session.getBookmark());
      if ((await there.prepare("SELECT max(n) AS n FROM s").first("n")) < n) stale++;
      if ((await session.prepare("SELECT max(n) AS n FROM s").first("n")) < n) stale++;
      bookmarks.push(session.getBookmark(), there.getBookmark());
    }
    const primary = await APAC.withSession("first-primary").prepare("SELECT 1").run();
    const wrong = await failures(() => WEUR.withSession("no bookmark").prepare("SELECT 1").run());
    const sorted = [...bookmarks].sort((a, b) => a.localeCompare(b));
    return {
      regions, unused, stale, wrong,
      grows: bookmarks.every((one, index) => one === sorted[index]),
      firstPrimary: primary.meta.served_by_primary,
    };
  },
};

export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    try {
      return Response.json(await cases[name](env));
    } catch (error) {
      return Response.json({ thrown: String(error.stack) }, { status: 500 });
    }
  },
};
