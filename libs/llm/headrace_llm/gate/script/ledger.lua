-- ledger.py, in a key of its own: most limits have no tokens
local SLICE, MOST_SLICES = 100000, 64
local ledger -- before, then since and amount of each slice; once it is needed
local function charges()
  if ledger == nil then
    local kept = stored and call('GET', base .. ':l')
    ledger = {stored and s.tokens_us or 0}
    if kept then
      ledger = {struct.unpack('<' .. ('d'):rep(#kept / 8), kept)}
      ledger[#ledger] = nil -- where the next would begin
    end
  end
  return ledger
end
local function charge(amount)
  local l = charges()
  local n = #l
  if n > 1 and now - l[n - 1] >= 0 and now - l[n - 1] < SLICE and s.tokens_us >= now then
    l[n] = l[n] + amount
  else
    l[n + 1], l[n + 2] = now, amount
  end
  if #l > 1 + 2 * MOST_SLICES then
    l[1] = max(l[1], l[2]) + l[3]
    table.remove(l, 2)
    table.remove(l, 2)
  end
  s.tokens_us = max(s.tokens_us, now) + amount
end
local function correct(by, charged_at)
  if tpm <= 0 then return end
  local l = charges()
  local at = #l - 1
  while at > 1 and l[at] > charged_at do at = at - 2 end
  if at > 1 then l[at + 1] = l[at + 1] + by else l[1] = l[1] + by end
  s.tokens_us = l[1]
  for i = 2, #l, 2 do s.tokens_us = max(s.tokens_us, l[i]) + l[i + 1] end
end
local function ledger_goes_back(by)
  local l = charges()
  if l[1] > 0 then l[1] = l[1] - by end
  for i = 2, #l, 2 do l[i] = l[i] - by end
end
function save_ledger()
  if ledger then call('SET', base .. ':l', struct.pack('<' .. ('d'):rep(#ledger), unpack(ledger)), 'PX', KEEP_MS) end
end
