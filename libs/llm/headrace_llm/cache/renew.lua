-- KEYS[1]  a lease   ARGV  TOKEN LEASE_MS
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0
