-- Lists a partition. KEYS[1] the listed partitions of a bucket, in the order of their tags; KEYS[2] the same with the time.
-- ARGV[1] the partition's tag. Answers some partitions that were listed more than a day ago, the oldest ones.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[1])
local before = string.format('%.0f', now - 86400000)
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', before, 'LIMIT', 0, 2)
