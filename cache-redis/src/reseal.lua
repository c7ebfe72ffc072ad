-- Puts values in the place of those that are what they were when they were read; what others have written since stays.
-- KEYS[1] a hash; ARGV: field, old value, new value, and so on. Or KEYS[1] a string; ARGV: '', old value, new value.
-- Answers how many were replaced.
local done = 0
for at = 1, #ARGV, 3 do
    local field, old, new = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    if field == '' then
        if redis.call('GET', KEYS[1]) == old then
            redis.call('SET', KEYS[1], new)
            done = done + 1
        end
    elseif redis.call('HGET', KEYS[1], field) == old then
        redis.call('HSET', KEYS[1], field, new)
        done = done + 1
    end
end
return done
