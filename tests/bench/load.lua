-- wrk's script: sends the requests of a file, each ended by a NUL, one after another and again from the beginning; each
-- thread starts elsewhere. Prints what was measured as one line of JSON.
local threads = {}

function setup(thread)
	thread:set("number", #threads)
	table.insert(threads, thread)
end

function init(args)
	requests = {}
	local file = assert(io.open(args[1], "rb"))
	for request in file:read("*a"):gmatch("([^%z]+)%z") do
		requests[#requests + 1] = request
	end
	file:close()
	at = math.floor(#requests / 2) * (number % 2) + tonumber(args[2] or 0)
end

function request()
	at = at % #requests + 1
	return requests[at]
end

function done(summary, latency)
	local errors = summary.errors
	io.write(string.format('{"requests":%d,"seconds":%.6f,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
		summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), errors.status,
		errors.connect + errors.read + errors.write + errors.timeout))
end
