// Logs in, checks stock, checks out and reads three problems: by nothing but the generated types.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [base, email, password] = process.argv.slice(2) as [string, string, string];
const anonymous = createClient<paths>({ baseUrl: base });

const { data: tokens } = await anonymous.POST("/api/v1/auth/token", { body: { email, password } });
if (!tokens) throw new Error("no token");
const shop = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${tokens.access}` } });

const { data: page } = await shop.GET("/api/v1/products", { params: { query: { search: "MUG", page_size: 1 } } });
const mug = page?.results[0];
if (!mug) throw new Error("no product");

const check = await shop.GET("/api/v1/inventory/check", { params: { query: { product_id: mug.id, quantity: 2 } } });

const ordered = await shop.POST("/api/v1/orders", {
  params: { header: { "Idempotency-Key": "smoke-1" } },
  body: { items: [{ product_id: mug.id, quantity: 2, unit_price: mug.price }] },
});
const order: components["schemas"]["Order"] | undefined = ordered.data;
if (!order) throw new Error("no order");

const short = await shop.POST("/api/v1/orders", { body: { items: [{ product_id: mug.id, quantity: 1000 }] } });
const problem: components["schemas"]["Problem"] | undefined = short.error;

const wrong = await shop.POST("/api/v1/orders", { body: { items: [{ product_id: mug.id, quantity: 0 }] } });

const refused = await shop.GET("/api/v1/inventory/items/{product_id}", { params: { path: { product_id: mug.id } } });

console.log(
  JSON.stringify({
    sku: mug.sku,
    can_be_had: check.data?.available,
    status: order.status,
    total: order.total,
    warehouse: order.items[0]?.allocations[0]?.warehouse,
    code: problem?.code,
    available: problem?.shortages?.[0]?.available,
    refused: refused.error?.code,
    wrong_field: wrong.error?.errors?.[0]?.field,
  }),
);
