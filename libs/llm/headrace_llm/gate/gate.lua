-- The gate's state in Redis, changed only here: what pace.py, adaptive.py, turns.py and limiter.py do and explain, to the microsecond.
-- A test plays the same operations on both and compares every answer.
--
-- KEYS[1]  the limit's state, a hash. Beside it, with its name before them:
--   :w        hash  waiter id -> rank|weight|tokens|latest|order|tenant
--   :q<r>:<t> zset  the orders of class r's tenant t, all with score 0: they sort as texts
--   :t<r>     zset  tenants of class r that wait, by virtual time
--   :v<r> :m<r>  hashes  virtual times and weights of class r's tenants
-- ARGV     operation, prefix of the channels, rpm, tpm, burst, probe, most waiting, the time (0: Redis's own clock), then the
--          operation's own arguments
-- A grant is published on the channel of the waiter's process, the id's part before ":". Nobody listens to a dead process's
-- channel, and so its waiters cost nothing.

local SECOND, MINUTE = 1000000, 60000000
local HEADROOM, JITTER, LATENESS = 0.002, 25000, 20000
local CUT, BACK, LOWER, RAISE, FLOOR = 0.75, 0.9, 0.93, 0.25, 0.01
local HOLD, HOLD_CALLS, MAX_HOLD, AGE_PER_HOLD = 4.5 * SECOND, 15, 60 * SECOND, 14
local SAME, GROWTH, KNOWN_PAUSE = 0.35, 0.25, 0.35
local PROBE, PROBE_US, PROBE_CALLS, MAX_PROBE_WAIT, MOST = 0.1, 8 * SECOND, 16, 64, 20
local SHARES, CLASSES = {[0] = 0.0, 0.2, 0.1}, 3
local MOST_CREDIT, MAX_TENANTS_COUNTED = 1.5, 64
local BATCH, WEIGHT = 64, 0.1
local KEEP_MS = 7 * 24 * 3600 * 1000 -- what was learnt of a provider is worth a week; a queue lives by its waiters

local base, operation, channels = KEYS[1], ARGV[1], ARGV[2]
local rpm, tpm, burst, probe = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local most_waiting = tonumber(ARGV[7])

local now = tonumber(ARGV[8])
if now == 0 then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) * SECOND + tonumber(clock[2])
end

local FIELDS = {
  'requests_us', 'tokens_us', 'cool_us', 'tokens_per_call', 'seconds_per_call',
  'good', 'step', 'step_at', 'step_calls', 'step_wait', 'ceiling', 'ceiling_at', 'cut_at', 'hold_us', 'depth', 'reduced_at',
  'minute', 'count0', 'count1', 'count2', 'count3', 'before0', 'before1', 'before2', 'before3',
  'depth0', 'depth1', 'depth2', 'now0', 'now1', 'now2', 'credit0', 'credit1', 'credit2',
}
local s = {}
local stored = redis.call('HMGET', base, unpack(FIELDS))
for i, name in ipairs(FIELDS) do s[name] = tonumber(stored[i] or '0') end
if s.good == 0 then s.good = 1 end
if s.step_wait == 0 then s.step_wait = 1 end

local changed = {}
local function set(name, value)
  s[name] = value
  changed[name] = true
end

local function save()
  local fields = {}
  for name in pairs(changed) do
    fields[#fields + 1] = name
    fields[#fields + 1] = string.format('%.17g', s[name])
  end
  if #fields > 0 then
    redis.call('HSET', base, unpack(fields))
    redis.call('PEXPIRE', base, KEEP_MS)
  end
end

-- pace.py
local function even(f) return MINUTE / (rpm * f) end
local function spare(e) return math.max(0.0, SECOND - e) end
local function interval(f)
  if rpm <= 0 then return 0.0 end
  local e = even(f)
  return e * (1 + HEADROOM) + math.max(0.0, JITTER - spare(e))
end
local function tolerance(f)
  if rpm <= 0 then return 0.0 end
  local e = even(f)
  return (burst - 1) * e + math.min(LATENESS, spare(e) / 2)
end
local function tokens_time(f, tokens)
  if tpm <= 0 then return 0.0 end
  return tokens * MINUTE * (1 + HEADROOM) / (tpm * f)
end

-- adaptive.py
local function factor_at(at)
  local most = s.good + s.step
  if s.cut_at <= 0 then return most end
  local x = (at - s.cut_at) / s.hold_us - 1
  local bend = x < 0 and s.depth or GROWTH
  return math.min(most, math.max(FLOOR, s.ceiling * (1 + bend * x * x * x)))
end
local function met(used) return s.cut_at > 0 and math.abs(used - s.ceiling) <= SAME * s.ceiling end
local function ceiling_of(used)
  if not met(used) then
    local falling = s.cut_at > 0 and used < s.ceiling
    return math.max(FLOOR / CUT, falling and used * (1 + CUT) / 2 or used), 1 - CUT
  end
  if used > s.ceiling * (1 + RAISE / 8) then return s.ceiling + RAISE * (used - s.ceiling), 1 - BACK end
  return math.max(FLOOR / CUT, used * LOWER), 1 - BACK
end
local function pause_part(granted_at)
  if granted_at <= s.reduced_at then return 0.0 end
  return met(factor_at(granted_at)) and KNOWN_PAUSE or 1.0
end
local function learn_refusal(granted_at)
  if granted_at <= s.reduced_at then return end
  local used = factor_at(granted_at)
  if s.step > 0 and used > s.good then
    set('step', 0) set('step_at', now) set('step_calls', 0) set('reduced_at', now)
    set('step_wait', math.min(s.step_wait * 2, MAX_PROBE_WAIT))
    return
  end
  local good = used >= s.good and math.max(1.0, s.good * LOWER) or s.good
  local ceiling, depth = ceiling_of(used)
  local since = met(used) and s.ceiling_at or now
  local hold = math.max(HOLD, HOLD_CALLS * interval(1.0) / ceiling, math.min((now - since) / AGE_PER_HOLD, MAX_HOLD))
  set('good', good) set('step', 0) set('step_at', now) set('step_calls', 0) set('reduced_at', now)
  set('ceiling', ceiling) set('ceiling_at', since) set('cut_at', now) set('hold_us', hold) set('depth', depth)
end
local function learn_pressure()
  local calls = s.step_calls + 1
  local wait = s.step > 0 and 1.0 or s.step_wait
  set('step_calls', calls)
  if factor_at(now) < s.good or calls < PROBE_CALLS or now - s.step_at < PROBE_US * wait then return end
  local stepping = s.step > 0
  set('good', s.good + s.step)
  set('step', math.min(PROBE * s.good, MOST - s.good))
  set('step_at', now) set('step_calls', 0) set('step_wait', stepping and 1.0 or s.step_wait)
end

-- turns.py
local function read(id)
  local text = redis.call('HGET', base .. ':w', id)
  if not text then return nil end
  local rank, weight, tokens, latest, order, tenant = text:match('^(%d)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$')
  return {
    id = id, rank = tonumber(rank), weight = tonumber(weight), tokens = tonumber(tokens), latest = tonumber(latest),
    order = order, tenant = tenant,
  }
end
local function waiting() return s.depth0 + s.depth1 + s.depth2 end
local function queue_of(w) return base .. ':q' .. w.rank .. ':' .. w.tenant end
local function join(w)
  local tenants, times = base .. ':t' .. w.rank, base .. ':v' .. w.rank
  if not redis.call('ZSCORE', tenants, w.tenant) then
    local time = math.max(s['now' .. w.rank], tonumber(redis.call('HGET', times, w.tenant) or '0'))
    redis.call('ZADD', tenants, string.format('%.17g', time), w.tenant)
    redis.call('HSET', times, w.tenant, string.format('%.17g', time))
  end
  redis.call('HSET', base .. ':m' .. w.rank, w.tenant, string.format('%.17g', w.weight))
  redis.call('ZADD', queue_of(w), 0, w.order)
  local text = table.concat({w.rank, string.format('%.17g', w.weight), w.tokens, string.format('%.0f', w.latest), w.order, w.tenant}, '|')
  redis.call('HSET', base .. ':w', w.id, text)
  set('depth' .. w.rank, s['depth' .. w.rank] + 1)
end
local function leave(w)
  redis.call('HDEL', base .. ':w', w.id)
  redis.call('ZREM', queue_of(w), w.order)
  if redis.call('EXISTS', queue_of(w)) == 0 then redis.call('ZREM', base .. ':t' .. w.rank, w.tenant) end
  set('depth' .. w.rank, math.max(0, s['depth' .. w.rank] - 1))
  if s['depth' .. w.rank] == 0 then
    redis.call('DEL', base .. ':v' .. w.rank, base .. ':m' .. w.rank)
    set('now' .. w.rank, 0) set('credit' .. w.rank, 0)
  end
end
local function next_rank()
  local best
  for rank = 0, CLASSES - 1 do
    local credit = s['credit' .. rank]
    if s['depth' .. rank] > 0 and credit >= 1 and (best == nil or credit > s['credit' .. best]) then best = rank end
  end
  if best then return best end
  for rank = 0, CLASSES - 1 do
    if s['depth' .. rank] > 0 then return rank end
  end
end
local function first()
  local rank = next_rank()
  if rank == nil then return nil end
  local tenant = redis.call('ZRANGE', base .. ':t' .. rank, 0, 0)[1]
  local order = tenant and redis.call('ZRANGE', base .. ':q' .. rank .. ':' .. tenant, 0, 0)[1]
  local waiter = order and read(order:match('[^.]*$'))
  if waiter then return waiter end
  -- Parts of the queue are gone (evicted, deleted by hand): forget the rest of the class; its waiters ask anew.
  set('depth' .. rank, 0)
  redis.call('DEL', base .. ':t' .. rank, base .. ':v' .. rank, base .. ':m' .. rank)
  return first()
end
local function charge(w, cost)
  local line, times = base .. ':t' .. w.rank, base .. ':v' .. w.rank
  local time = tonumber(redis.call('ZSCORE', line, w.tenant))
  set('now' .. w.rank, time)
  local after = string.format('%.17g', time + math.floor(math.max(cost, 1.0) / w.weight))
  redis.call('HSET', times, w.tenant, after)
  redis.call('ZADD', line, 'XX', after, w.tenant)
  leave(w)
  set('credit' .. w.rank, math.max(0, s['credit' .. w.rank] + SHARES[w.rank] - 1))
  for rank = 0, CLASSES - 1 do
    if rank ~= w.rank and s['depth' .. rank] > 0 then
      set('credit' .. rank, math.min(MOST_CREDIT, s['credit' .. rank] + SHARES[rank]))
    end
  end
end
local function ahead(rank, tenant, weight)
  local queue = base .. ':q' .. rank .. ':'
  local own = redis.call('ZCARD', queue .. tenant)
  if s['depth' .. rank] == own then return own end
  local tenants = redis.call('ZCARD', base .. ':t' .. rank)
  if tenants > MAX_TENANTS_COUNTED then return math.min(s['depth' .. rank], (own + 1) * tenants) end
  local turns, total = (own + 1) / weight, own
  local weights = redis.call('HGETALL', base .. ':m' .. rank)
  for i = 1, #weights, 2 do
    if weights[i] ~= tenant then
      total = total + math.min(redis.call('ZCARD', queue .. weights[i]), math.floor(turns * tonumber(weights[i + 1])))
    end
  end
  return total
end

local function step(cost, weight) return math.max(1, math.floor(math.max(cost, 1.0) / weight)) end
local function precedes(a, b) -- by bytes, as sorted sets have it: `<` would go by the server's locale
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
  end
  return #a < #b
end
local lines = {}
local function line_of(rank) -- the tenants of a class that wait; nothing is granted between two looks at it
  if lines[rank] then return lines[rank] end
  local found = redis.call('ZRANGE', base .. ':t' .. rank, 0, -1, 'WITHSCORES')
  local line = {size = #found / 2, tenants = {}}
  for i = 1, line.size <= MAX_TENANTS_COUNTED and #found or 0, 2 do
    line.tenants[found[i]] = {
      time = tonumber(found[i + 1]),
      weight = tonumber(redis.call('HGET', base .. ':m' .. rank, found[i]) or '1'),
      depth = redis.call('ZCARD', base .. ':q' .. rank .. ':' .. found[i]),
    }
  end
  lines[rank] = line
  return line
end
local function turns_until(time, other, cost, tie)
  local rest, each = time - other.time, step(cost, other.weight)
  if rest < 0 then return 0 end
  local turns = math.floor(rest / each) + ((tie or rest % each ~= 0) and 1 or 0)
  return math.min(turns, other.depth)
end
local function before(w, cost)
  local own = redis.call('ZRANK', queue_of(w), w.order)
  local line = line_of(w.rank)
  if not own then return nil end
  if line.size > MAX_TENANTS_COUNTED then return math.min(s['depth' .. w.rank] - 1, (own + 1) * line.size) end
  local mine = line.tenants[w.tenant]
  if not mine then return nil end
  local at, total = mine.time + own * step(cost, mine.weight), own
  for name, other in pairs(line.tenants) do
    if name ~= w.tenant then total = total + turns_until(at, other, cost, precedes(name, w.tenant)) end
  end
  return total
end

-- limiter.py
local function due(f) return math.max(s.requests_us - tolerance(f), s.tokens_us, s.cool_us) - now end
local function roll()
  local minute = math.floor(now / MINUTE)
  if minute == s.minute then return end
  for i = 0, CLASSES do
    set('before' .. i, minute == s.minute + 1 and s['count' .. i] or 0)
    set('count' .. i, 0)
  end
  set('minute', minute)
end
local function last_minute(i) return s['count' .. i] + s['before' .. i] * (1 - (now % MINUTE) / MINUTE) end
local function grant(w, f)
  set('requests_us', math.max(s.requests_us, now) + interval(f))
  set('tokens_us', math.max(s.tokens_us, now) + tokens_time(f, w.tokens))
  set('count' .. w.rank, s['count' .. w.rank] + 1)
end
local function each_takes()
  local f = factor_at(now)
  return math.max(interval(f), tokens_time(f, s.tokens_per_call))
end
local function standing(rank, own) -- behind so many calls of the class: all that go before, and what is to be expected
  local each, higher, rates, owed = each_takes(), 0, 0, 0
  for r = 0, rank - 1 do
    higher = higher + s['depth' .. r]
    rates = rates + last_minute(r)
  end
  for r = rank + 1, CLASSES - 1 do
    if s['depth' .. r] > 0 then owed = owed + SHARES[r] end
  end
  local share = math.max(SHARES[rank], 1 - rates * each / MINUTE - owed, 0.05)
  local all = own + higher
  if SHARES[rank] > 0 then all = math.min(all, math.ceil((own + 1) / SHARES[rank]) - 1) end
  return all, math.max(0.0, due(factor_at(now))) + math.max(all * each, own * each / share)
end
local function expected_wait(rank, tenant, weight)
  local _, wait = standing(rank, ahead(rank, tenant, weight))
  return wait
end
local function pump(entering)
  for _ = 1, BATCH do
    local w = first()
    if w == nil then return -1 end
    if w.latest < now then
      leave(w)
    else
      local f = factor_at(now)
      local wait = due(f)
      if wait > 0 then return wait end
      local heard = w.id == entering
        or redis.call('PUBLISH', channels .. w.id:match('^[^:]*'), table.concat({base, w.id, w.rank, w.tokens, string.format('%.0f', now)}, '\n')) > 0
      if heard then
        charge(w, math.max(interval(f), tokens_time(f, w.tokens)))
        grant(w, f)
        if probe and waiting() > 0 then learn_pressure() end
      else
        leave(w)
      end
    end
  end
  return waiting() > 0 and 0 or -1
end
local function number(value) return string.format('%.17g', value) end

local A = function(i) return ARGV[8 + i] end

if operation == 'enter' then
  -- id, rank, tenant, weight, age, unblocks, number, tokens, how long it may wait -> granted, refused, wait, due, now
  local id = A(1)
  local order = string.format('%016.0f.%03.0f.%012.0f.%s',
    tonumber(A(5)) > 0 and tonumber(A(5)) or now, 999 - math.min(math.max(tonumber(A(6)), 0), 999), tonumber(A(7)), id)
  local w = {
    id = id, rank = tonumber(A(2)), tenant = A(3), weight = tonumber(A(4)), order = order, tokens = tonumber(A(8)),
    latest = now + tonumber(A(9)),
  }
  roll()
  local before = read(id)
  if before then leave(before) end
  local f = factor_at(now)
  if waiting() == 0 and due(f) <= 0 then
    grant(w, f)
    save()
    return {1, 0, '0', '0', number(now)}
  end
  local wait = expected_wait(w.rank, w.tenant, w.weight)
  if waiting() >= most_waiting or now + wait > w.latest then
    save()
    return {0, 1, number(wait), number(due(f)), number(now)}
  end
  join(w)
  local rest = math.max(pump(id), 0.0)
  save()
  return {1 - redis.call('HEXISTS', base .. ':w', id), 0, number(wait), number(rest), number(now)}
elseif operation == 'pump' then
  -- -> until the next may go, -1 when nobody waits
  roll()
  local rest = pump('')
  save()
  return number(rest)
elseif operation == 'leave' then
  -- id -> 1 when it was there
  local w = read(A(1))
  if w then leave(w) end
  save()
  return w and 1 or 0
elseif operation == 'give_back' then
  -- rank, tokens
  roll()
  local f = factor_at(now)
  set('requests_us', s.requests_us - interval(f))
  set('tokens_us', s.tokens_us - tokens_time(f, tonumber(A(2))))
  set('count' .. A(1), math.max(0, s['count' .. A(1)] - 1))
  save()
  return 1
elseif operation == 'settle' then
  -- reserved, used, seconds
  local reserved, used, seconds = tonumber(A(1)), tonumber(A(2)), tonumber(A(3))
  set('tokens_us', s.tokens_us + tokens_time(factor_at(now), used - reserved))
  set('tokens_per_call', s.tokens_per_call + (used - s.tokens_per_call) * (s.tokens_per_call ~= 0 and WEIGHT or 1))
  set('seconds_per_call', s.seconds_per_call + (seconds - s.seconds_per_call) * (s.seconds_per_call ~= 0 and WEIGHT or 1))
  save()
  return 1
elseif operation == 'refused' then
  -- granted at, pause, whether the provider asked for it
  roll()
  set('count3', s.count3 + 1)
  local part = A(3) == '1' and 1.0 or pause_part(tonumber(A(1)))
  if part > 0 then set('cool_us', math.max(s.cool_us, now + tonumber(A(2)) * part)) end
  learn_refusal(tonumber(A(1)))
  save()
  return 1
elseif operation == 'rejoin' then
  -- pause -> 1 when this is the first to come back; the others' shares run out meanwhile
  local key = base .. ':rejoin'
  if not redis.call('SET', key, '1', 'NX', 'PX', math.ceil(tonumber(A(1)) / 1000) * 3) then return 0 end
  set('cool_us', math.max(s.cool_us, now + tonumber(A(1))))
  save()
  return 1
elseif operation == 'missing' then
  -- ids -> those that are not in the queue
  local lost = {}
  for i = 9, #ARGV do
    if redis.call('HEXISTS', base .. ':w', ARGV[i]) == 0 then lost[#lost + 1] = ARGV[i] end
  end
  return lost
elseif operation == 'standings' then
  -- ids -> for each how many go before it, -1 when it is not in the queue, and what it has to expect
  roll()
  local told = {}
  for i = 9, #ARGV do
    local w = read(ARGV[i])
    local own = w and before(w, each_takes())
    local all, wait = -1, 0
    if own then all, wait = standing(w.rank, own) end
    told[#told + 1] = number(all)
    told[#told + 1] = number(wait)
  end
  save()
  return told
elseif operation == 'view' then
  -- -> the fields of the state, in their order, then what a new tenant's call would wait, by class, and now
  roll()
  local view = {}
  for i, name in ipairs(FIELDS) do view[i] = number(s[name]) end
  for rank = 0, CLASSES - 1 do view[#view + 1] = number(expected_wait(rank, '', 1.0)) end
  view[#view + 1] = number(now)
  save()
  return view
end
return redis.error_reply('unknown operation ' .. operation)
