-- The gate's state in Redis, changed only by this script: what pace.py, adaptive.py, turns.py and limiter.py do and explain, to the
-- microsecond. A test plays the same operations on both and compares every answer. The script is its five files, one after another:
-- numbers, ledger, adaptive, turns, limiter. What is rarely needed stands in functions of functions: Redis makes every closure anew each time.
--
-- KEYS[1]  the limit's numbers, packed as doubles: one read and one write an operation. Beside it, with its name before them:
--   :l     the ledger: what was charged for tokens lately, packed as doubles
--   :w     hash  waiter id -> rank|weight|tokens|latest|order|tenant
--   :q<r>  zset  class r's waiters as TENANT'S PREFIX..order, all with score 0: they sort as texts
--   :t<r>  zset  class r's tenants that wait, by virtual time
--   :v<r>  zset  those that do not, but whose virtual time is still ahead of the class's
--   :m<r>  hash  class r's tenants that wait -> weight|how many wait
-- ARGV     operation; prefix of the channels; packed as doubles: rpm, tpm, burst, probe, most waiting, the time (0: Redis's own clock)
--          and the operation's own numbers; then its texts
-- A grant is published on the channel of the waiter's process, the id's part before ":". Nobody listens to a dead process's
-- channel, and so its waiters cost nothing.

local SECOND, MINUTE = 1000000, 60000000
local SHARES, CLASSES = {[0] = 0.0, 0.2, 0.1}, 3
local KEEP_MS = 7 * 24 * 3600 * 1000 -- what was learnt of a provider is worth a week; a queue lives by its waiters

local call, max, min, floor, format = redis.call, math.max, math.min, math.floor, string.format
local base, operation = KEYS[1], ARGV[1]
local rpm, tpm, burst, probe, most_waiting, now, n1, n2, n3, n4, n5, n6, n7 = struct.unpack('<' .. ('d'):rep(#ARGV[3] / 8), ARGV[3])
if now == 0 then
  local clock = call('TIME')
  now = clock[1] * SECOND + clock[2]
end

local s = {
  requests_us = 0, tokens_us = 0, cool_us = 0, tokens_per_call = 0, seconds_per_call = 0,
  good = 1, step = 0, step_at = 0, step_calls = 0, step_wait = 1,
  ceiling = 0, ceiling_at = 0, cut_at = 0, hold_us = 0, depth = 0, reduced_at = 0,
  second = 0, count0 = 0, count1 = 0, count2 = 0, count3 = 0, before0 = 0, before1 = 0, before2 = 0, before3 = 0,
  depth0 = 0, depth1 = 0, depth2 = 0, now0 = 0, now1 = 0, now2 = 0, credit0 = 0, credit1 = 0, credit2 = 0, started_at = 0, held = 0,
}
local PACKED = '<dddddddddddddddddddddddddddddddddddd' -- what is added comes last: processes of two versions share it during a rollout
local stored = call('GET', base)
if stored then
  local missing = struct.size(PACKED) - #stored
  s.requests_us, s.tokens_us, s.cool_us, s.tokens_per_call, s.seconds_per_call,
  s.good, s.step, s.step_at, s.step_calls, s.step_wait,
  s.ceiling, s.ceiling_at, s.cut_at, s.hold_us, s.depth, s.reduced_at,
  s.second, s.count0, s.count1, s.count2, s.count3, s.before0, s.before1, s.before2, s.before3,
  s.depth0, s.depth1, s.depth2, s.now0, s.now1, s.now2, s.credit0, s.credit1, s.credit2,
  s.started_at, s.held = struct.unpack(PACKED, missing > 0 and stored .. ('\0'):rep(missing) or stored)
end

local save_ledger
local function save()
  local packed = struct.pack(PACKED,
    s.requests_us, s.tokens_us, s.cool_us, s.tokens_per_call, s.seconds_per_call,
    s.good, s.step, s.step_at, s.step_calls, s.step_wait,
    s.ceiling, s.ceiling_at, s.cut_at, s.hold_us, s.depth, s.reduced_at,
    s.second, s.count0, s.count1, s.count2, s.count3, s.before0, s.before1, s.before2, s.before3,
    s.depth0, s.depth1, s.depth2, s.now0, s.now1, s.now2, s.credit0, s.credit1, s.credit2,
    s.started_at, s.held)
  save_ledger()
  if packed ~= stored then call('SET', base, packed, 'PX', KEEP_MS) end
  return packed
end
