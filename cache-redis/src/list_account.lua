-- Lists a partition with an account. KEYS[1] the partitions that may hold the account, by the time in ms until which they may.
-- ARGV[1] the clock in ms, '' for the server's; ARGV[2] the partition's tag; ARGV[3] until when it may.
local key, tag = KEYS[1], ARGV[2]
local time = redis.call('TIME')
local now = ARGV[1] == '' and time[1] * 1000 + math.floor(time[2] / 1000) or tonumber(ARGV[1])
local text = function(number) return string.format('%.0f', number) end
-- A quarter longer than the partition has to live, the commit notes the account as listed. Until then its refresh token may be
-- written again, and stays in the partition for one more life of it, and as long as the last commit then prolongs the partition.
-- And ten minutes, for the commit to come after this.
local latest = tonumber(ARGV[3])
latest = math.max(latest + 1.5 * (latest - now) + 600000, tonumber(redis.call('ZSCORE', key, tag) or '0'))
local gone = redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. text(now), 'LIMIT', 0, 100)
if #gone > 0 then redis.call('ZREM', key, unpack(gone)) end
redis.call('ZADD', key, text(latest), tag)
redis.call('PEXPIRE', key, text(math.max(latest - now, 600000, redis.call('PTTL', key))))
return 0
