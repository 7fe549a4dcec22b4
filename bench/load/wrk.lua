-- Send the requests of a file in order, again and again; a line with their sizes stands before them.

local requests = {}
local last = 0
local threads = {}
sent = 0

function setup(thread)
   table.insert(threads, thread)
end

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   for size in file:read("*l"):gmatch("%d+") do
      requests[#requests + 1] = file:read(tonumber(size))
   end
   file:close()
end

function request()
   last = last % #requests + 1
   sent = sent + 1
   return requests[last]
end

function done(summary, latency, _)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   local sent_least = math.huge
   for _, thread in ipairs(threads) do
      sent_least = math.min(sent_least, thread:get("sent"))
   end
   io.write(string.format(
      '\n{"count": %d, "failed": %d, "load_us": %d, "sent": %d, '
      .. '"p50": %f, "p90": %f, "p99": %f, "p99.9": %f}\n',
      summary.requests, failed, summary.duration, sent_least,
      latency:percentile(50) / 1000, latency:percentile(90) / 1000,
      latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
