// What applications do with drizzle-orm over D1, bundled for a Worker; the test compares.

import { count, eq, gt, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import { blob, integer, real, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { relations } from "drizzle-orm";

const authors = sqliteTable("d_authors", {
  id: integer().primaryKey({ autoIncrement: true }),
  name: text().notNull().unique(),
});
const books = sqliteTable("d_books", {
  id: integer().primaryKey({ autoIncrement: true }),
  title: text().notNull(),
  price: real().notNull(),
  sold: integer({ mode: "boolean" }).notNull().default(false),
  printed: integer({ mode: "timestamp" }),
  tags: text({ mode: "json" }),
  author: integer().notNull().references(() => authors.id, { onDelete: "cascade" }),
});
const authorRelations = relations(authors, ({ many }) => ({ books: many(books) }));
const bookRelations = relations(books, ({ one }) => ({
  author: one(authors, { fields: [books.author], references: [authors.id] }),
}));
const schema = { authors, books, authorRelations, bookRelations };

const MIGRATION = [
  "CREATE TABLE IF NOT EXISTS `d_authors` (`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL, `name` text NOT NULL)",
  "CREATE UNIQUE INDEX IF NOT EXISTS `d_authors_name_unique` ON `d_authors` (`name`)",
  "CREATE TABLE IF NOT EXISTS `d_books` (`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL, `title` text NOT NULL, "
    + "`price` real NOT NULL, `sold` integer DEFAULT false NOT NULL, `printed` integer, `tags` text, `author` integer NOT NULL, "
    + "FOREIGN KEY (`author`) REFERENCES `d_authors`(`id`) ON UPDATE no action ON DELETE cascade)",
];

const failure = async (work) => {
  try {
    await work();
    return null;
  } catch (error) {
    return `${error.message} / ${error.cause?.message}`;
  }
};

async function run(binding) {
  const db = drizzle(binding, { schema });
  await db.batch(MIGRATION.map((one) => db.run(sql.raw(one))));
  await db.delete(authors);
  const [joyce, austen] = await db.insert(authors).values([{ name: "Joyce" }, { name: "Austen" }]).returning();
  const printed = new Date("1922-02-02T00:00:00Z");
  await db.insert(books).values({ title: "Ulysses", price: 12.5, printed, tags: ["long"], author: joyce.id });
  const [, , changed] = await db.batch([
    db.insert(books).values({ title: "Emma", price: 3, author: austen.id }),
    db.insert(books).values({ title: "Persuasion", price: 4, author: austen.id }),
    db.update(books).set({ sold: true }).where(gt(books.price, 3.5)).returning({ title: books.title }),
  ]);
  const rolledBack = await failure(() => db.batch([
    db.insert(authors).values({ name: "Woolf" }),
    db.insert(authors).values({ name: "Joyce" }),
  ]));
  const upsert = await db.insert(authors).values({ name: "Joyce" })
    .onConflictDoUpdate({ target: authors.name, set: { name: "James Joyce" } }).returning();
  return {
    changed: changed.map((row) => row.title).sort(),
    rolledBack,
    transaction: await failure(() => db.transaction((tx) => tx.insert(authors).values({ name: "Mann" }))),
    upserted: upsert[0].name,
    joined: await db.select({ author: authors.name, title: books.title, price: books.price }).from(books)
      .innerJoin(authors, eq(books.author, authors.id)).orderBy(books.title),
    nested: (await db.query.authors.findMany({ with: { books: true }, orderBy: authors.name }))
      .map((one) => [one.name, one.books.map((book) => [book.title, book.sold, book.tags, book.printed?.toISOString() ?? null])]),
    counted: await db.select({ author: books.author, n: count() }).from(books).groupBy(books.author).having(gt(count(), 1)),
    prepared: (await db.select().from(books).where(eq(books.title, sql.placeholder("title"))).prepare().execute({ title: "Emma" })).length,
    deleted: (await db.delete(authors).where(eq(authors.name, "Austen"))).meta.changes,
    left: (await db.select().from(books)).length,
    austen: austen.id,
  };
}

export default {
  async fetch(request, env) {
    try {
      return Response.json(await run(env.WEUR));
    } catch (error) {
      return Response.json({ thrown: `${error.stack} ${error.cause?.message}` }, { status: 200 });
    }
  },
};
