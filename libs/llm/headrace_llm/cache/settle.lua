-- Ends a call: keeps its answer within the bound of all answers, gives the lease up and rings.
-- The bound is kept by an index: a sorted set of each tenant's answers by the time that they end, a hash of their sizes, and
-- one sorted set of the tenants' sizes (member "*": all). Whoever takes most loses first, and of its answers the oldest.
-- KEYS[1]  the lease
-- ARGV     PREFIX TENANT DIGEST TOKEN CHANNEL RING VALUE TTL_MS MAX_BYTES    VALUE "" keeps nothing
-- Returns 1 when the answer was kept, 0 when there is no room, -1 when there was none
local prefix, tenant, digest, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local value, ttl_ms, max_bytes = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local OVERHEAD = 400 -- bytes that a value's key and its places in the index take
local MAX_DROPS = 500 -- of one call: a script must not hold Redis up
local totals = prefix .. 'bytes'

local function ends(name) return prefix .. 'ends:' .. name end
local function sizes(name) return prefix .. 'sizes:' .. name end
local function value_key(name, one) return prefix .. 'value:' .. name .. ':' .. one end

local function add(name, bytes)
  redis.call('ZINCRBY', totals, bytes, '*')
  if tonumber(redis.call('ZINCRBY', totals, bytes, name)) <= 0 then redis.call('ZREM', totals, name) end
end

local function drop(name, one)
  local bytes = tonumber(redis.call('HGET', sizes(name), one) or '0')
  redis.call('HDEL', sizes(name), one)
  redis.call('ZREM', ends(name), one)
  redis.call('UNLINK', value_key(name, one))
  if bytes > 0 then add(name, -bytes) end
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function drop_ended(name)
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', ends(name), '-inf', now, 'LIMIT', 0, 50)) do drop(name, one) end
end

local function largest()
  for _, name in ipairs(redis.call('ZREVRANGE', totals, 0, 1)) do
    if name ~= '*' then return name end
  end
end

local function make_room(bytes)
  for _ = 1, MAX_DROPS do
    if tonumber(redis.call('ZSCORE', totals, '*') or '0') + bytes <= max_bytes then return true end
    local name = largest()
    if not name then
      redis.call('DEL', totals)
    else
      local one = redis.call('ZRANGE', ends(name), 0, 0)[1]
      if one then
        drop(name, one)
      else -- Redis has evicted the tenant's index: what it says of its size is void
        add(name, -tonumber(redis.call('ZSCORE', totals, name)))
      end
    end
  end
  return false
end

local kept = -1
if value ~= '' then
  local bytes = #value + OVERHEAD
  drop(tenant, digest)
  drop_ended(tenant)
  local other = redis.call('ZRANDMEMBER', totals)
  if other and other ~= '*' then drop_ended(other) end
  kept = 0
  if bytes <= max_bytes and make_room(bytes) then
    redis.call('SET', value_key(tenant, digest), value, 'PXAT', now + ttl_ms)
    redis.call('ZADD', ends(tenant), now + ttl_ms, digest)
    redis.call('HSET', sizes(tenant), digest, bytes)
    add(tenant, bytes)
    kept = 1
  end
end
if redis.call('GET', KEYS[1]) == token then redis.call('DEL', KEYS[1]) end
redis.call('PUBLISH', ARGV[5], digest .. ' ' .. (kept == 0 and 'unshared' or ARGV[6]))
return kept
