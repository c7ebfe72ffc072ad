-- A lease, with an expiry and a fence. KEYS[1] the lease, a hash: 'f' highest fence, 'h' holder, 'w' who that is, 't' taken at,
-- 'e' ends at.
-- ARGV[1] the clock in ms, '' for the server's; ARGV[2] holder; ARGV[3] length in ms; ARGV[4] = 'take', 'renew' or 'release';
-- ARGV[5] who takes it.
-- Answers {'held', fence}, {'busy', who, age in ms} or {'gone'}.
local key, holder, length = KEYS[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = ARGV[1] == '' and time[1] * 1000 + math.floor(time[2] / 1000) or tonumber(ARGV[1])
local lease = redis.call('HMGET', key, 'f', 'h', 'w', 't', 'e')
local fence, ends = tonumber(lease[1] or '0'), tonumber(lease[5] or '0')
local is_held = lease[2] and now < ends and ends - now <= 2 * length
local text = function(number) return string.format('%.0f', number) end
if ARGV[4] == 'take' then
    -- Asked again, since the answer was lost.
    if is_held and lease[2] == holder then return {'held', text(fence)} end
    if is_held then return {'busy', lease[3], text(now - tonumber(lease[4]))} end
    -- Not from one: a lease that was forgotten had fences, too.
    fence = math.max(fence + 1, now)
    redis.call('HSET', key, 'f', text(fence), 'h', holder, 'w', ARGV[5], 't', text(now), 'e', text(now + length))
elseif lease[2] ~= holder then
    return {'gone'}
elseif ARGV[4] == 'renew' then
    redis.call('HSET', key, 'e', text(now + length))
else
    redis.call('HDEL', key, 'h', 'w', 't', 'e')
end
redis.call('PEXPIRE', key, 86400000)
return {'held', text(fence)}
