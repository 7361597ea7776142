-- limiter.py
local BATCH, WEIGHT = 64, 0.1

local turns -- queue(), once somebody waits
local function due(f) return max(s.requests_us - tolerance(f), s.tokens_us - TOKENS_LATENESS, s.cool_us) - now end
local function advance(second)
  if second < s.second then
    local back = (s.second - second) * SECOND
    for _, name in ipairs({'requests_us', 'tokens_us', 'cool_us', 'step_at', 'ceiling_at', 'cut_at', 'reduced_at', 'started_at'}) do
      if s[name] > 0 then s[name] = s[name] - back end
    end
    if tpm > 0 then ledger_goes_back(back) end
  end
  local minutes = floor(second / 60) - floor(s.second / 60)
  if minutes ~= 0 then
    for i = 0, CLASSES do
      s['before' .. i] = minutes == 1 and s['count' .. i] or 0
      s['count' .. i] = 0
    end
  end
  s.second = second
end
local function grant(rank, tokens, f)
  s.requests_us = max(s.requests_us, now) + interval(f)
  if tpm > 0 then charge(tokens_time(f, tokens)) end
  s['count' .. rank] = s['count' .. rank] + 1
  if s.started_at <= 0 then s.started_at = now end
end
local function each_takes()
  local f = factor_at(now)
  return max(interval(f), tokens_time(f, s.tokens_per_call))
end
local function standing(rank, own) -- behind so many calls of the class: all that go before, and what is to be expected
  local f, rest, higher, rates, owed = factor_at(now), 1 - (now % MINUTE) / MINUTE, 0, 0, 0
  local by_call, by_tokens = interval(f), tokens_time(f, s.tokens_per_call)
  local each = max(by_call, by_tokens)
  for r = 0, rank - 1 do
    higher = higher + s['depth' .. r]
    rates = rates + (s['count' .. r] + s['before' .. r] * rest)
  end
  for r = rank + 1, CLASSES - 1 do
    if s['depth' .. r] > 0 then owed = owed + SHARES[r] end
  end
  local share = max(SHARES[rank], 1 - rates * each / MINUTE - owed, 0.05)
  local all = own + higher
  if SHARES[rank] > 0 then all = min(all, math.ceil((own + 1) / SHARES[rank]) - 1) end
  local before, begin = max(all, own / share), now + max(0.0, due(f))
  local requests = max(s.requests_us, begin) + before * by_call - tolerance(f)
  local tokens = max(s.tokens_us, begin) + before * by_tokens - TOKENS_LATENESS
  return all, max(begin, requests, tokens) - now
end
local function expected_wait(rank, tenant, weight)
  local _, wait = standing(rank, s['depth' .. rank] > 0 and turns.ahead(rank, tenant, weight) or 0)
  return wait
end
local function publish(w)
  local channel = ARGV[2] .. w.id:match('^[^:]*')
  return call('PUBLISH', channel, format('%s\n%s\n%d\n%.0f\n%.0f', base, w.id, w.rank, w.tokens, now)) > 0
end
local function pump(entering) -- -> until the next may go, -1 when nobody waits; whether `entering` went
  local entered = false
  for _ = 1, BATCH do
    if waiting() == 0 then return -1, entered end
    local f = factor_at(now)
    local wait = due(f)
    if wait > 0 then return wait, entered end
    turns = turns or queue()
    local w, time = turns.first()
    if w == nil then return -1, entered end
    local own = w.id == entering
    if w.latest >= now and (own or publish(w)) then
      turns.charge(w, time, max(interval(f), tokens_time(f, w.tokens)))
      grant(w.rank, w.tokens, f)
      if probe == 1 and waiting() > 0 then learning().pressure() end
      entered = entered or own
    else
      turns.leave(w)
    end
  end
  return waiting() > 0 and 0 or -1, entered
end

local second = floor(now / SECOND)
if second ~= s.second then advance(second) end
if not stored then
  queue().forget() -- the numbers have never been, or are gone (evicted, deleted by hand): what waits beside them is of another time
elseif waiting() > 0 and operation ~= 'pump' then
  turns = queue()
end

if operation == 'enter' then
  -- rank, weight, age, unblocks, number, tokens, how long it may wait; id, tenant -> granted, refused, wait, due, now
  local id, rank, tokens, f = ARGV[4], n1, n6, factor_at(now)
  local before = turns and turns.read(id)
  if before then turns.leave(before) end
  if waiting() == 0 and due(f) <= 0 then
    grant(rank, tokens, f)
    save()
    return {1, 0, 0, 0, now}
  end
  turns = turns or queue()
  local tenant, weight, age, latest = ARGV[5], n2, n3, now + n7
  local wait = expected_wait(rank, tenant, weight)
  if waiting() >= most_waiting or now + wait > latest then
    save()
    return {0, 1, exact(wait), exact(due(f)), now}
  end
  local unblocks = 999 - min(max(n4, 0), 999)
  local order = format('%016.0f.%03.0f.%012.0f.%s', age > 0 and age or now, unblocks, n5, id)
  turns.join({id = id, rank = rank, tenant = tenant, weight = weight, tokens = tokens, latest = latest, order = order})
  local rest, granted = pump(id)
  save()
  return {granted and 1 or 0, 0, exact(wait), exact(max(rest, 0)), now}
elseif operation == 'pump' then
  -- -> as the function
  local rest = pump('')
  save()
  return exact(rest)
elseif operation == 'leave' then
  -- id -> 1 when it was there
  local w = turns and turns.read(ARGV[4])
  if w then turns.leave(w) end
  save()
  return w and 1 or 0
elseif operation == 'give_back' then
  -- rank, tokens, granted at -> as pump
  local rank, f = n1, charged_factor(n3)
  s.requests_us = s.requests_us - interval(f)
  correct(-tokens_time(f, n2), n3)
  s['count' .. rank] = max(0, s['count' .. rank] - 1)
  local rest = pump('')
  save()
  return exact(rest)
elseif operation == 'settle' then
  -- reserved, used, seconds, granted at -> as pump
  local reserved, used, seconds = n1, n2, n3
  correct(tokens_time(charged_factor(n4), used - reserved), n4)
  s.tokens_per_call = s.tokens_per_call + (used - s.tokens_per_call) * (s.tokens_per_call ~= 0 and WEIGHT or 1)
  s.seconds_per_call = s.seconds_per_call + (seconds - s.seconds_per_call) * (s.seconds_per_call ~= 0 and WEIGHT or 1)
  local rest = pump('')
  save()
  return exact(rest)
elseif operation == 'refused' then
  -- granted at, pause, whether the provider asked for it
  local granted_at, pause, asked, learn = n1, n2, n3, learning()
  s.count3 = s.count3 + 1
  local part = asked == 1 and 1.0 or learn.pause_part(granted_at)
  if part > 0 then s.cool_us = max(s.cool_us, now + pause * part) end
  learn.refusal(granted_at)
  local empty = now + SECOND - s.tokens_us
  if empty > 0 and tokens_time(1.0, s.tokens_per_call) > interval(1.0) then correct(empty, now) end
  save()
  return 1
elseif operation == 'rejoin' then
  -- pause -> 1 when this is the first to come back; the others' shares run out meanwhile
  local pause = n1
  if not call('SET', base .. ':rejoin', '1', 'NX', 'PX', math.ceil(pause / 1000) * 3) then return 0 end
  s.cool_us = max(s.cool_us, now + pause)
  save()
  return 1
elseif operation == 'missing' then
  -- ids -> those that are not in the queue
  local lost = {}
  for i = 4, #ARGV do
    if call('HEXISTS', base .. ':w', ARGV[i]) == 0 then lost[#lost + 1] = ARGV[i] end
  end
  return lost
elseif operation == 'resize' then
  -- tokens; id
  local w = turns and turns.read(ARGV[4])
  if w then
    w.tokens = n1
    turns.write(w)
  end
  save()
  return 1
elseif operation == 'postpone' then
  -- by how much
  s.requests_us = s.requests_us + n1
  save()
  return 1
elseif operation == 'standings' then
  -- ids -> for each how many go before it, -1 when it is not in the queue, and what it has to expect
  local told, before = {}, turns and turns.places(each_takes())
  for i = 4, #ARGV do
    local w = turns and turns.read(ARGV[i])
    local own = w and before(w)
    local all, wait = -1, 0
    if own then all, wait = standing(w.rank, own) end
    told[#told + 1] = exact(all)
    told[#told + 1] = exact(wait)
  end
  save()
  return told
elseif operation == 'view' then
  -- -> the numbers, then what a new tenant's call would wait, by class, and now, all as doubles
  local waits = {}
  for rank = 0, CLASSES - 1 do waits[rank] = expected_wait(rank, '', 1.0) end
  return save() .. struct.pack('<dddd', waits[0], waits[1], waits[2], now)
end
return redis.error_reply('unknown operation ' .. operation)
