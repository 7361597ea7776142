-- turns.py
local function waiting() return s.depth0 + s.depth1 + s.depth2 end
local function exact(value) return format('%.17g', value) end

local function queue()
  local MOST_CREDIT, MAX_TENANTS_COUNTED, MAX_IDLE = 1.5, 64, 1024

  local function prefix_of(tenant) return #tenant .. ':' .. tenant .. '|' end -- of no other tenant's queue
  local function read(id)
    local text = call('HGET', base .. ':w', id)
    if not text then return nil end
    local rank, weight, tokens, latest, order, tenant = text:match('^(%d)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$')
    return {
      id = id, rank = tonumber(rank), weight = tonumber(weight), tokens = tonumber(tokens), latest = tonumber(latest),
      order = order, tenant = tenant,
    }
  end
  local function of_tenant(rank, tenant)
    local weight, count = (call('HGET', base .. ':m' .. rank, tenant) or '1|0'):match('^(.*)|(.*)$')
    return tonumber(weight), tonumber(count)
  end
  local function forget()
    call('DEL', base .. ':w')
    for rank = 0, CLASSES - 1 do
      call('DEL', base .. ':q' .. rank, base .. ':t' .. rank, base .. ':v' .. rank, base .. ':m' .. rank)
      s['depth' .. rank], s['now' .. rank], s['credit' .. rank] = 0, 0, 0
    end
  end
  local function write(w)
    local text = format('%d|%.17g|%.0f|%.0f|%s|', w.rank, w.weight, w.tokens, w.latest, w.order) .. w.tenant
    call('HSET', base .. ':w', w.id, text)
  end
  local function join(w)
    local rank, tenant = w.rank, w.tenant
    local _, count = of_tenant(rank, tenant)
    if count == 0 then
      local time = max(s['now' .. rank], tonumber(call('ZSCORE', base .. ':v' .. rank, tenant) or '0'))
      call('ZADD', base .. ':t' .. rank, exact(time), tenant)
      call('ZREM', base .. ':v' .. rank, tenant)
    end
    call('HSET', base .. ':m' .. rank, tenant, exact(w.weight) .. '|' .. count + 1)
    call('ZADD', base .. ':q' .. rank, 0, prefix_of(tenant) .. w.order)
    write(w)
    s['depth' .. rank] = s['depth' .. rank] + 1
  end
  local function leave(w, time) -- time: the tenant's virtual time from now on, when that changes
    local rank, tenant = w.rank, w.tenant
    local times, line = base .. ':v' .. rank, base .. ':t' .. rank
    local weight, count = of_tenant(rank, tenant)
    call('HDEL', base .. ':w', w.id)
    call('ZREM', base .. ':q' .. rank, prefix_of(tenant) .. w.order)
    s['depth' .. rank] = max(0, s['depth' .. rank] - 1)
    if count > 1 then
      call('HSET', base .. ':m' .. rank, tenant, exact(weight) .. '|' .. count - 1)
      if time then call('ZADD', line, exact(time), tenant) end
      return
    end
    time = time or tonumber(call('ZSCORE', line, tenant) or '0')
    call('HDEL', base .. ':m' .. rank, tenant)
    call('ZREM', line, tenant)
    if s['depth' .. rank] == 0 then
      call('DEL', times)
      s['now' .. rank], s['credit' .. rank] = 0, 0
    elseif time > s['now' .. rank] then
      call('ZREMRANGEBYSCORE', times, '-inf', exact(s['now' .. rank]))
      call('ZADD', times, exact(time), tenant)
      call('ZREMRANGEBYRANK', times, 0, -MAX_IDLE - 1)
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
    local tenant, time = unpack(call('ZRANGE', base .. ':t' .. rank, 0, 0, 'WITHSCORES'))
    local prefix = tenant and prefix_of(tenant)
    local place = tenant and call('ZRANGEBYLEX', base .. ':q' .. rank, '[' .. prefix, '(' .. prefix .. '\255', 'LIMIT', 0, 1)[1]
    local waiter = place and read(place:match('[^.]*$'))
    -- Parts of the queue are gone (evicted, deleted by hand): its waiters find themselves missing, and ask anew.
    if not waiter then forget() end
    return waiter, tonumber(time)
  end
  local function charge(w, time, cost) -- time: its tenant's
    s['now' .. w.rank] = time
    leave(w, time + floor(max(cost, 1.0) / w.weight))
    s['credit' .. w.rank] = max(0, s['credit' .. w.rank] + SHARES[w.rank] - 1)
    for rank = 0, CLASSES - 1 do
      if rank ~= w.rank and s['depth' .. rank] > 0 then
        s['credit' .. rank] = min(MOST_CREDIT, s['credit' .. rank] + SHARES[rank])
      end
    end
  end
  local function ahead(rank, tenant, weight)
    local depth, _, own = s['depth' .. rank], of_tenant(rank, tenant)
    if depth == own then return own end
    local tenants = call('HLEN', base .. ':m' .. rank)
    if tenants > MAX_TENANTS_COUNTED then return min(depth, (own + 1) * tenants) end
    local turns, total = (own + 1) / weight, own
    local known = call('HGETALL', base .. ':m' .. rank)
    for i = 1, #known, 2 do
      if known[i] ~= tenant then
        local its_weight, count = known[i + 1]:match('^(.*)|(.*)$')
        total = total + min(tonumber(count), floor(turns * tonumber(its_weight)))
      end
    end
    return total
  end
  local function places(cost) -- -> a function of a waiter: how many of its class go before it, if each costs that much
    local lines = {}
    local function step(weight) return max(1, floor(max(cost, 1.0) / weight)) end
    local function line_of(rank)
      if lines[rank] then return lines[rank] end
      local known, line = call('HGETALL', base .. ':m' .. rank), {tenants = {}}
      line.size = #known / 2
      for i = 1, line.size <= MAX_TENANTS_COUNTED and #known or 0, 2 do
        local weight, count = known[i + 1]:match('^(.*)|(.*)$')
        local time = tonumber(call('ZSCORE', base .. ':t' .. rank, known[i]) or '0')
        line.tenants[known[i]] = {time = time, weight = tonumber(weight), count = tonumber(count)}
      end
      lines[rank] = line
      return line
    end
    local function precedes(a, b) -- by bytes, as sorted sets have it: `<` would go by the server's locale
      for i = 1, min(#a, #b) do
        if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
      end
      return #a < #b
    end
    return function(w)
      local prefix, line = prefix_of(w.tenant), line_of(w.rank)
      local own = call('ZLEXCOUNT', base .. ':q' .. w.rank, '[' .. prefix, '(' .. prefix .. w.order)
      if line.size > MAX_TENANTS_COUNTED then return min(s['depth' .. w.rank] - 1, (own + 1) * line.size) end
      local mine = line.tenants[w.tenant]
      if not mine then return nil end
      local at, total = mine.time + own * step(mine.weight), own
      for name, other in pairs(line.tenants) do
        local rest, each = at - other.time, step(other.weight)
        if name ~= w.tenant and rest >= 0 then
          local tie = precedes(name, w.tenant) or rest % each ~= 0
          total = total + min(other.count, floor(rest / each) + (tie and 1 or 0))
        end
      end
      return total
    end
  end
  return {
    forget = forget, read = read, write = write, join = join, leave = leave, first = first, charge = charge, ahead = ahead, places = places,
  }
end
