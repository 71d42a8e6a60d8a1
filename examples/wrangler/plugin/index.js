// A miniflare plugin: workerd's own D1 binding, over a raylite gateway. wrangler.json names it in "unsafe.bindings".

const TYPE = "raylite";

// miniflare 5 hands the Worker's whole environment, miniflare 4 the plugin's own bindings.
function bindings(options) {
  const entries = Array.isArray(options)
    ? options.map((one) => [one.name, one])
    : Object.entries(options?.config?.env ?? {}).filter(([, one]) => one?.type === `unsafe:${TYPE}`);
  return entries.map(([name, one]) => ({ name, ...(one.dev?.options ?? one.options ?? one) }));
}

const service = (name) => `${TYPE}:${name}`;

const plugin = {
  options: { parse: (options) => options, safeParse: (data) => ({ success: true, data }) },
  getBindings: (options) => bindings(options).map(({ name }) => ({
    name,
    wrapped: {
      moduleName: "cloudflare-internal:d1-api",
      innerBindings: [{ name: "fetcher", service: { name: service(name) } }],
    },
  })),
  getNodeBindings: () => ({}),
  getServices: ({ options }) => bindings(options).map(({ name, address, database, token }) => ({
    name: service(name),
    external: {
      address,
      http: {
        injectRequestHeaders: [
          { name: "x-d1-database-id", value: database },
          ...(token ? [{ name: "authorization", value: `Bearer ${token}` }] : []),
        ],
      },
    },
  })),
};

export const plugins = { [TYPE]: plugin };
