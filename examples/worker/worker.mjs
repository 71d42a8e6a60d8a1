// A guest book on workerd, with workerd's own D1 binding over raylite (raylite.capnp says how). A reader who sends back
// the bookmark of an answer sees at least what that answer showed, whichever region answers.

const SCHEMA = "CREATE TABLE IF NOT EXISTS guests (id INTEGER PRIMARY KEY, name TEXT NOT NULL, said TEXT NOT NULL)";

export default {
  async fetch(request, env) {
    const session = env.DB.withSession(request.headers.get("x-bookmark") ?? "first-unconstrained");
    if (request.method === "POST") {
      const { name, said } = await request.json();
      await session.batch([
        session.prepare(SCHEMA),
        session.prepare("INSERT INTO guests (name, said) VALUES (?, ?)").bind(name, said),
      ]);
    }
    const guests = await session.prepare("SELECT name, said FROM guests ORDER BY id DESC LIMIT 20").all();
    return Response.json(
      { guests: guests.results, region: guests.meta.served_by_region },
      { headers: { "x-bookmark": session.getBookmark() ?? "" } },
    );
  },
};
