-- The answer, or whose turn it is to get it.
-- KEYS[1]  the answer   KEYS[2]  the lease
-- ARGV     TOKEN LEASE_MS
-- Returns {answer, ms that it is kept}, or 1 when the lease is the token's now, or 0 when another has it
local value = redis.call('GET', KEYS[1])
if value then return {value, redis.call('PTTL', KEYS[1])} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 0
