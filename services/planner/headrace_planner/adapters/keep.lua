-- Keep a plan and forget the oldest ones beyond the room.
-- KEYS: the plan, the index (a sorted set of plans by when they were kept)
-- ARGV: value, milliseconds to keep it, most plans, prefix of plans
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], ms, string.sub(KEYS[1], #ARGV[4] + 1))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ms - ARGV[2])
local beyond = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if beyond > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[2], beyond)
  for at = 1, #oldest, 2 do
    redis.call('DEL', ARGV[4] .. oldest[at])
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
