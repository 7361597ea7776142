-- What a tenant has used of one day: a hash that is changed only here. budgets.py has the same arithmetic and explains it.
-- KEYS[1]  the hash: calls, tokens, nusd (nano-dollars), seeded (seconds since 1970 at which Postgres' word was taken in)
-- ARGV     an operation, how long the hash is kept in seconds, then integers; a limit below 0 does not bound
--   reserve NEED_SEED LIMIT*3 WANTED*3 OWED*3 -> {1 granted | 0 refused | -1 not seeded, calls, tokens, nusd}
--   add AMOUNT*3                              -> {1, calls, tokens, nusd}
--   raise LEAST*3                             -> {1, calls, tokens, nusd}; no figure is less from now on, and it is seeded
--   read                                      -> {age of the seed in seconds, -1 for none, calls, tokens, nusd}
-- A reservation that answers -1 has changed nothing; OWED is added whether the call is granted or not.
local fields = redis.call('HMGET', KEYS[1], 'calls', 'tokens', 'nusd', 'seeded')
local used, seeded = {}, tonumber(fields[4] or '-1')
for i = 1, 3 do used[i] = tonumber(fields[i] or '0') end

local function from(first) return {tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])} end
local function add(amount)
  for i = 1, 3 do used[i] = math.max(0, used[i] + amount[i]) end
end
local function now() return tonumber(redis.call('TIME')[1]) end
local function save()
  local text = function(number) return string.format('%.0f', number) end
  redis.call('HSET', KEYS[1], 'calls', text(used[1]), 'tokens', text(used[2]), 'nusd', text(used[3]))
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
local function told(status) return {status, used[1], used[2], used[3]} end

local operation = ARGV[1]
if operation == 'reserve' then
  if ARGV[3] == '1' and seeded < 0 then return told(-1) end
  local limit, wanted = from(4), from(7)
  add(from(10))
  local fits = true
  for i = 1, 3 do
    if limit[i] >= 0 and used[i] + wanted[i] > limit[i] then fits = false end
  end
  if fits then add(wanted) end
  save()
  return told(fits and 1 or 0)
elseif operation == 'add' then
  add(from(3))
  save()
  return told(1)
elseif operation == 'raise' then
  local least = from(3)
  for i = 1, 3 do used[i] = math.max(used[i], least[i]) end
  save()
  redis.call('HSET', KEYS[1], 'seeded', now())
  return told(1)
elseif operation == 'read' then
  return told(seeded < 0 and -1 or math.max(0, now() - seeded))
end
return redis.error_reply('unknown operation ' .. operation)
