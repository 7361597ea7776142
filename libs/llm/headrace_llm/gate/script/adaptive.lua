local HEADROOM, JITTER, LATENESS, LEAST_LATENESS, TOKENS_LATENESS = 0.002, 20000, 20000, 8000, 250000
local FLOOR, GROWTH = 0.01, 0.5

-- pace.py
local function interval(f)
  if rpm <= 0 then return 0.0 end
  local even = MINUTE / (rpm * f)
  return even * (1 + HEADROOM) + max(0.0, JITTER - max(0.0, SECOND - even))
end
local function tolerance(f)
  if rpm <= 0 then return 0.0 end
  local even = MINUTE / (rpm * f)
  return (burst - 1) * even + max(LEAST_LATENESS, min(LATENESS, max(0.0, SECOND - even) / 2))
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
  return min(most, max(FLOOR, s.ceiling * (1 + bend * x * x * x)))
end
local function charged_factor(granted_at) -- what a grant was charged by, or more than that: a cut since then may hide it
  local f = factor_at(now)
  return granted_at <= s.reduced_at and max(f, s.good) or f
end

local function learning()
  local CUT, BACK, LOWER, RAISE = 0.75, 0.9, 0.93, 0.25
  local HOLD, HOLD_CALLS, MAX_HOLD = 4.0 * SECOND, 16, 60 * SECOND
  local AGE_PER_HOLD, AGE_PER_HOLD_UNHEARD, HELD = 18, 4, 0.9
  local SAME, KNOWN_PAUSE = 0.5, 0.35
  local PROBE, PROBE_US, PROBE_CALLS, MAX_PROBE_WAIT, MOST = 0.1, 8 * SECOND, 16, 64, 20

  local function met(used) return s.cut_at > 0 and math.abs(used - s.ceiling) <= SAME * s.ceiling end
  local function ceiling_of(used)
    if not met(used) then
      local falling = s.cut_at > 0 and used < s.ceiling
      return max(FLOOR / CUT, falling and used * (1 + CUT) / 2 or used), 1 - CUT
    end
    if used > s.ceiling * (1 + RAISE / 8) then return s.ceiling + RAISE * (used - s.ceiling), 1 - BACK end
    return max(FLOOR / CUT, used * LOWER), 1 - BACK
  end
  local function held_at(refused_at)
    local at = refused_at - HOLD
    if s.started_at <= 0 or at < s.started_at or at < s.reduced_at then return s.held end
    return max(s.held, factor_at(at))
  end
  local function pause_part(granted_at)
    if granted_at <= s.reduced_at then return 0.0 end
    return met(factor_at(granted_at)) and KNOWN_PAUSE or 1.0
  end
  local function refusal(granted_at)
    if granted_at <= s.reduced_at then return end
    local used, held = factor_at(granted_at), held_at(granted_at)
    if s.step > 0 and used > s.good then
      s.step, s.step_at, s.step_calls, s.reduced_at = 0, now, 0, now
      s.step_wait, s.held = min(s.step_wait * 2, MAX_PROBE_WAIT), held
      return
    end
    local good = used >= s.good and max(1.0, s.good * LOWER) or s.good
    local ceiling, depth = ceiling_of(used)
    local since = met(used) and s.ceiling_at or now
    local unheard = HELD * held <= ceiling and ceiling < HELD * good
    local age_per_hold = unheard and AGE_PER_HOLD_UNHEARD or AGE_PER_HOLD
    local hold = max(HOLD, HOLD_CALLS * interval(1.0) / ceiling, min((now - since) / age_per_hold, MAX_HOLD))
    s.good, s.step, s.step_at, s.step_calls, s.reduced_at = good, 0, now, 0, now
    s.ceiling, s.ceiling_at, s.cut_at, s.hold_us, s.depth, s.held = ceiling, since, now, hold, depth, held
  end
  local function pressure()
    local calls = s.step_calls + 1
    local wait = s.step > 0 and 1.0 or s.step_wait
    s.step_calls = calls
    if factor_at(now) < s.good or calls < PROBE_CALLS or now - s.step_at < PROBE_US * wait then return end
    local stepping = s.step > 0
    s.good = s.good + s.step
    s.step = min(PROBE * s.good, MOST - s.good)
    s.step_at, s.step_calls, s.step_wait = now, 0, stepping and 1.0 or s.step_wait
  end
  return {pause_part = pause_part, refusal = refusal, pressure = pressure}
end
