-- One load by wrk: every request has its own key and a user of 10,000, every answer is checked.
-- Arguments: file of the head, file of the body, file of the tokens (one a line), prefix of the
-- keys, what a success contains, "random" or "in turn".
local USERS, PRODUCTS, ITEMS = 10000, 100, 10

local threads = {}
local tokens, make_head, make_body, prefix, needle, in_turn
local sent = 0

successes, failures, sample = 0, 0, ""

local function content(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- "a@USER@b" becomes a function that returns "a" .. user .. "b".
local function compiled(text)
  local parts, rest = {}, 1
  for literal, name, stop in text:gmatch("([^@]*)@(%u+)@()") do
    parts[#parts + 1] = string.format("%q", literal)
    parts[#parts + 1] = name:lower()
    rest = stop
  end
  parts[#parts + 1] = string.format("%q", text:sub(rest))
  local expression = table.concat(parts, " .. ")
  return assert(loadstring(
    "return function(user, product, key, token, length) return " .. expression .. " end"
  ))()
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  make_head, make_body = compiled(content(args[1])), compiled(content(args[2]))
  tokens = {}
  for token in content(args[3]):gmatch("[^\n]+") do
    tokens[#tokens + 1] = token
  end
  prefix, needle, in_turn = args[4], args[5], args[6] == "in turn"
  math.randomseed(os.time())
end

function request()
  sent = sent + 1
  local user = in_turn and (sent - 1) % USERS + 1 or math.random(USERS)
  local product = 1 + (user + PRODUCTS / ITEMS * math.random(0, ITEMS - 1)) % PRODUCTS
  local key, token = prefix .. sent, tokens[user]
  local body = make_body(user, product, key, token)
  return make_head(user, product, key, token, #body) .. body
end

function response(status, _, body)
  if status == 200 and body:find(needle, 1, true) then
    successes = successes + 1
  else
    failures = failures + 1
    if failures == 1 then
      sample = status .. ": " .. body:sub(1, 300)
    end
  end
end

function done(summary, latency)
  local good, bad, first = 0, 0, ""
  for _, thread in ipairs(threads) do
    good = good + thread:get("successes")
    bad = bad + thread:get("failures")
    first = first .. thread:get("sample")
  end
  local errors = summary.errors
  print(string.format(
    'RESULT {"successes":%d,"failures":%d,"errors":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f}',
    good, bad, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
  print("SAMPLE " .. first:gsub("%s+", " "))
end
