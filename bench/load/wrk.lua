-- Send the requests of a file in order, again and again; zero bytes separate them.

local requests = {}
local last = 0

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   for request in file:read("*a"):gmatch("([^%z]+)") do
      requests[#requests + 1] = request
   end
   file:close()
end

function request()
   last = last % #requests + 1
   return requests[last]
end

function done(summary, latency, _)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format(
      '\n{"count": %d, "failed": %d, "load_us": %d, "p50": %f, "p90": %f, "p99": %f, "p99.9": %f}\n',
      summary.requests, failed, summary.duration,
      latency:percentile(50) / 1000, latency:percentile(90) / 1000,
      latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
