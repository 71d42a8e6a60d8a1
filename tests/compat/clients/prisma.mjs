// What applications do with Prisma's D1 adapter, bundled for a Worker; the test compares.

import { PrismaD1 } from "@prisma/adapter-d1";
import { PrismaClient } from "./built/prisma/client.ts";

// What `prisma migrate diff --from-empty --to-schema schema.prisma --script` gives, applied as wrangler would.
const MIGRATION = `
CREATE TABLE IF NOT EXISTS "Author" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS "Book" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "title" TEXT NOT NULL,
    "price" REAL NOT NULL,
    "cover" BLOB,
    "printed" DATETIME,
    "authorId" INTEGER NOT NULL,
    CONSTRAINT "Book_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "Author" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX IF NOT EXISTS "Author_name_key" ON "Author"("name");
`;

const failure = async (work) => {
  try {
    await work();
    return null;
  } catch (error) {
    return { code: error.code, target: error.meta?.driverAdapterError?.cause?.constraint ?? error.meta?.target };
  }
};

async function run(binding) {
  await binding.exec(MIGRATION.trim().replaceAll(",\n", ", ").replaceAll("(\n", "( ").replaceAll("\n)", " )"));
  const prisma = new PrismaClient({ adapter: new PrismaD1(binding) });
  await prisma.author.deleteMany();
  const joyce = await prisma.author.create({
    data: {
      name: "Joyce",
      books: { create: [{ title: "Ulysses", price: 12.5, cover: new Uint8Array([0, 255]), printed: new Date("1922-02-02T00:00:00Z") }] },
    },
    include: { books: true },
  });
  const [austen, books] = await prisma.$transaction([
    prisma.author.create({ data: { name: "Austen" } }),
    prisma.book.count(),
  ]);
  const many = await prisma.book.createMany({
    data: [{ title: "Emma", price: 3, authorId: austen.id }, { title: "Persuasion", price: 4, authorId: austen.id }],
  });
  return {
    created: joyce.books.map((book) => [book.title, Array.from(book.cover), book.printed.toISOString()]),
    books,
    many: many.count,
    taken: await failure(() => prisma.author.create({ data: { name: "Joyce" } })),
    missing: await failure(() => prisma.book.update({ where: { id: -1 }, data: { price: 1 } })),
    foreign: await failure(() => prisma.book.create({ data: { title: "x", price: 1, authorId: -1 } })),
    found: await prisma.author.findMany({
      where: { books: { some: { price: { lt: 5 } } } },
      select: { name: true, books: { select: { title: true }, orderBy: { title: "asc" } } },
    }),
    sums: await prisma.book.groupBy({ by: ["authorId"], _sum: { price: true }, orderBy: { authorId: "asc" } })
      .then((rows) => rows.map((row) => row._sum.price)),
    upserted: (await prisma.author.upsert({ where: { name: "Woolf" }, create: { name: "Woolf" }, update: {} })).name,
    raw: await prisma.$queryRaw`SELECT title, price FROM Book WHERE price > ${3.5} ORDER BY title`,
    executed: await prisma.$executeRaw`UPDATE Book SET price = price + 1 WHERE price < ${5}`,
    deleted: (await prisma.author.delete({ where: { name: "Austen" } })).name,
    left: await prisma.book.count(),
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
