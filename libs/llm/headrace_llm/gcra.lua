-- The gate's state in Redis: one hash for each limit, changed only here. policy.py has the same arithmetic and explains it.
-- KEYS[1]  the limit's hash: req, tok, slot, cool (microseconds since 1970), turn
-- ARGV     an operation and its integers; all times are microseconds
--   reserve REQUEST REQUEST_BURST TOKEN MAX_WAIT -> {granted, wait, now, turn, req before, slot before}
--   cooling                                      -> what is left of the cool-down
--   give_back TURN TOKEN REQ_BEFORE SLOT_BEFORE  -> 1 when the slot is free again, else 0
--   adjust TOKEN
--   cool_down FOR
local KEEP_US = 60000000 -- an idle limit is even again and needs no memory

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local fields = redis.call('HMGET', KEYS[1], 'req', 'tok', 'slot', 'cool', 'turn')
local state = {}
for i = 1, 5 do state[i] = tonumber(fields[i] or '0') end
local req, tok, slot, cool, turn = state[1], state[2], state[3], state[4], state[5]

local function save()
  local text = function(number) return string.format('%.0f', number) end
  redis.call('HSET', KEYS[1], 'req', text(req), 'tok', text(tok), 'slot', text(slot), 'cool', text(cool), 'turn', text(turn))
  redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(req, tok, slot, cool, now) - now + KEEP_US) / 1000))
end

local operation = ARGV[1]
local a, b, c, d = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

if operation == 'reserve' then
  local before_req, before_slot = req, slot
  local at = math.max(now, req - b, tok, cool, slot)
  if at - now > d then return {0, at - now, now, 0, 0, 0} end
  req = math.max(req, at) + a
  tok = math.max(tok, at) + c
  slot = at
  turn = turn + 1
  save()
  return {1, at - now, now, turn, before_req, before_slot}
elseif operation == 'cooling' then
  return math.max(0, cool - now)
elseif operation == 'give_back' then
  tok = tok - b
  local newest = a == turn
  if newest then
    req, slot, turn = c, d, turn - 1
  end
  save()
  return newest and 1 or 0
elseif operation == 'adjust' then
  tok = tok + a
  save()
  return 1
elseif operation == 'cool_down' then
  cool = math.max(cool, now + a)
  save()
  return 1
end
return redis.error_reply('unknown operation ' .. operation)
