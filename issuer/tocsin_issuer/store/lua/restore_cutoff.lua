-- Puts back a cutoff that the ledger knows. KEYS: cutoff. ARGV: its time, until when it is kept.
expect('string', KEYS[1])
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], ARGV[1], 'EXAT', ARGV[2])
end
