-- What wrk asks of the shop. CASE: order, check or bare; LINES of an order or a check; PRODUCTS; HOT=1 for one product;
-- KEYED=1 for an Idempotency-Key with each order; SOLD_OUT, the share of orders for the product after the last, which
-- has no stock; SIGNED_IN=1 for a TOKEN with each request.
local case, lines = os.getenv("CASE"), tonumber(os.getenv("LINES") or "1")
local products, hot, keyed = tonumber(os.getenv("PRODUCTS")), os.getenv("HOT"), os.getenv("KEYED")
local sold_out = tonumber(os.getenv("SOLD_OUT") or "0")
local signed_in, counter = os.getenv("SIGNED_IN"), 0

function setup(thread) thread:set("number", counter); counter = counter + 1 end

function init(args)
  math.randomseed(os.time() * 100 + number)
  prefix, sent = string.format("%d-%d-", os.time(), math.random(1, 1e9)), 0
end

local function product()
  if sold_out > 0 and math.random() < sold_out then return products + 1 end
  return hot and 1 or math.random(1, products)
end

local function items()
  local found, seen = {}, {}
  while #found < lines do
    local id = product()
    if not seen[id] then
      seen[id] = true
      found[#found + 1] = string.format('{"product_id":%d,"quantity":1}', id)
    end
  end
  return '{"items":[' .. table.concat(found, ",") .. "]}"
end

function request()
  local headers = { ["Content-Type"] = "application/json" }
  if signed_in then headers["Authorization"] = "Bearer " .. os.getenv("TOKEN") end
  if case == "bare" then return wrk.format("GET", "/?product_id=" .. product()) end
  if case == "order" then
    sent = sent + 1
    if keyed then headers["Idempotency-Key"] = prefix .. sent end
    return wrk.format("POST", "/api/v1/orders", headers, items())
  end
  if lines == 1 then
    return wrk.format("GET", "/api/v1/inventory/check?quantity=1&product_id=" .. product(), headers)
  end
  return wrk.format("POST", "/api/v1/inventory/check", headers, items())
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"rate":%.2f,"requests":%d,"p50":%.3f,"p99":%.3f,"errors":%d}\n',
    summary.requests / (summary.duration / 1e6), summary.requests, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, e.status + e.connect + e.read + e.write + e.timeout))
end
