// drizzle's migrator over miniflare's D1 binding. Arguments: a gateway's URL, with the database in its path, and the folder of migrations.

import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { migrate } from "drizzle-orm/d1/migrator";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const [url, migrationsFolder] = process.argv.slice(2);
const miniflare = new Miniflare(convertV4MiniflareOptions({
  modules: true,
  script: "export default { fetch() { return new Response(); } }",
  compatibilityDate: "2026-01-01",
  d1Databases: { DB: { id: "raylite", remoteProxyConnectionString: new URL(url) } },
}));
const db = drizzle(await miniflare.getD1Database("DB"));
const failed = await migrate(db, { migrationsFolder }).then(() => null, (error) => error.cause?.message ?? error.message);
const applied = await db.values(sql.raw("SELECT hash, created_at FROM __drizzle_migrations ORDER BY created_at"));
const tables = await db.values(sql.raw("SELECT name FROM sqlite_schema WHERE name LIKE 'mig_%' ORDER BY name"));
console.log(JSON.stringify({ failed, applied: applied.map((row) => row[1]), tables: tables.flat() }));
await miniflare.dispose();
