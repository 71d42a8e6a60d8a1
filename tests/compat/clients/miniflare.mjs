// miniflare's own D1 binding over a gateway that asks for no token. Arguments: its URL, with the database in its path.

import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const miniflare = new Miniflare(convertV4MiniflareOptions({
  modules: true,
  script: `export default {
    async fetch(request, env) {
      const session = env.DB.withSession();
      await session.batch([
        session.prepare("CREATE TABLE IF NOT EXISTS m (n INTEGER)"),
        session.prepare("INSERT INTO m VALUES (?)").bind(7),
      ]);
      const { results, meta } = await session.prepare("SELECT n FROM m").all();
      const error = await env.DB.prepare("SELECT nope").all().catch((one) => one.message);
      return Response.json({ results, bookmark: session.getBookmark(), error, region: meta.served_by_region });
    },
  }`,
  compatibilityDate: "2026-01-01",
  d1Databases: { DB: { id: "raylite", remoteProxyConnectionString: new URL(process.argv[2]) } },
}));
const answer = await miniflare.dispatchFetch("http://localhost/");
console.log(await answer.text());
await miniflare.dispose();
