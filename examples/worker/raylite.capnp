# workerd serve raylite.capnp, beside `raylite up --http 8787`. TOKEN is what `raylite token create worker --scope write
# --database guests` shows; `raylite create guests` makes the database.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .guests),
    (name = "raylite", external = (
      address = "127.0.0.1:8787",
      http = (injectRequestHeaders = [
        (name = "x-d1-database-id", value = "guests"),
        (name = "authorization", value = "Bearer TOKEN"),
      ]))),
  ],
  sockets = [ (name = "http", address = "127.0.0.1:8080", http = (), service = "main") ],
);

const guests :Workerd.Worker = (
  modules = [ (name = "worker.mjs", esModule = embed "worker.mjs") ],
  compatibilityDate = "2026-01-01",
  bindings = [
    (name = "DB", wrapped = (
      moduleName = "cloudflare-internal:d1-api",
      innerBindings = [ (name = "fetcher", service = "raylite") ])),
  ],
);
