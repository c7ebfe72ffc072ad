-- A commit: the merge rules of cache-core's `merge` over the entries of one partition, all or nothing.
--
-- KEYS[1] the partition, a hash; KEYS[2] its tags by their expiry, a sorted set; KEYS[3] the lease whose fence the commit
-- carries, a hash.
-- ARGV[1] the clock in milliseconds, '' for the server's     ARGV[2] 16 random bytes, the same when a commit is sent again
-- ARGV[3] name of the partition, sealed                      ARGV[4] the 'time until' for which it was listed, or ''
-- ARGV[5] fence, '' for none                                 ARGV[6] how long a refresh token stays, in ms, and a partition in
--   which nothing says when it expires
-- ARGV[7] how many entries the partition may have, '' for any number
-- ARGV[8..] the changes:
--   'p', tag, stored, replaces or '', guard: '' | 'a' accounts | 'e' tag,
--        what could not be read there, as it is stored: '' | 'd' damaged | 'k' under another key
--   'r', tag, version to match or ''
--   'a', accounts
--
-- Answers {'list', time, until}: the partition must be listed before it is made, and with the accounts that the changes put if
-- these may be in it until then; ARGV[4] tells for which answer that was done. Else {'ok' or 'fenced', stamp before, stamp after,
-- outcome, dropped}, the fourth with a letter per change: '.' applied, 'n' newer present, 'g' guard gone, 'm' no match; the
-- last '' if nothing beside the changes was dropped. Fails with CORRUPT if the hash is none of a partition.
--
-- Fields of the partition: 'g' the random bytes of the last change, 'v' how many there were, 'n' entries, 'm' name, 'x' latest expiry in ms;
-- 'e'tag a stored entry; lists of tags: 'c'account its account entries, 'a'account its other ones, 't'term what has it; 'i'account until
-- when, in ms, the partition is listed with the account.
-- A script that fails half-way is not undone: everything is decided first, and written at the end.

local hash, expiries, lease = KEYS[1], KEYS[2], KEYS[3]
local TAG = 16
-- Kinds of entries, as `cache_crypto::rows::kind` numbers them.
local UNKNOWN, ACCESS_TOKEN, REFRESH_TOKEN, ACCOUNT = 0, 1, 2, 4
-- So many expired entries go with a commit.
local SWEPT = 64
-- So often more are looked at to evict some.
local EVICTION_PAGES = 16
-- In milliseconds: how long ago a partition may have been listed; how soon and how late it may go, whatever its entries say;
-- how long the fences of a lease are remembered.
local LISTED_FOR, LEAST, MOST, FENCES_FOR = 300000, 300000, 315360000000, 86400000

local server = redis.call('TIME')
local server_ms = server[1] * 1000 + math.floor(server[2] / 1000)
local now = ARGV[1] == '' and server_ms or tonumber(ARGV[1])

-- Times are 8 bytes, the highest bit flipped, compared as two numbers: a double does not hold all of them.
local now_high, now_low = math.floor(now / 4294967296) + 2147483648, now % 4294967296

local function text(number)
    return string.format('%.0f', number)
end

-- What is stored of an entry. What is too short to be one has no version, no time, and stands under nothing.
local function parse(stored)
    local terms = #stored >= 52 and struct.unpack('>I2', stored, 51) or 0
    if #stored < 52 + TAG * terms then
        return {kind = UNKNOWN, version = '', terms = '', stored = stored}
    end
    local kind, flags, wh, wl, eh, el = struct.unpack('>BBI4I4I4I4', stored)
    local has_time = flags % 4 >= 2
    if has_time and (wh > now_high or (wh == now_high and wl > now_low)) then
        wh, wl = now_high, now_low
    end
    return {
        kind = kind,
        account = flags % 2 == 1 and string.sub(stored, 19, 34) or nil,
        has_time = has_time, wh = wh, wl = wl,
        expires = flags >= 4 and ((eh - 2147483648) * 4294967296 + el) * 1000 or nil,
        version = string.sub(stored, 35, 50),
        terms = string.sub(stored, 53, 52 + TAG * terms),
        stored = stored,
    }
end

-- When the entry goes by itself, in ms.
local function goes_at(of)
    return of.expires or (of.kind == REFRESH_TOKEN and now + tonumber(ARGV[6]) or nil)
end

local function stamp(g, v)
    return g and g .. struct.pack('>I8', v) or ''
end

local head = redis.call('HMGET', hash, 'g', 'v', 'n', 'x')
local generation, version = head[1], tonumber(head[2] or '') or 0
local entries, latest = tonumber(head[3] or '0'), tonumber(head[4] or '') or 0
if not entries or (generation and #generation ~= 16) then
    return redis.error_reply('CORRUPT head of a partition')
end
local before = stamp(generation, version)

if ARGV[5] ~= '' then
    local fence = tonumber(ARGV[5])
    local highest = tonumber(redis.call('HGET', lease, 'f') or '0')
    if fence < highest then
        return {'fenced', before, before, '', ''}
    end
end

-- What was read, and what is to be written. `false`: nothing there.
local found, present, lists, stale, outcome = {}, {}, {}, {}, {}

local function entry(tag)
    if present[tag] == nil then
        local stored = redis.call('HGET', hash, 'e' .. tag)
        local parsed = stored and parse(stored) or false
        found[tag], present[tag] = parsed, parsed
    end
    return present[tag]
end

local function each_tag(tags, visit)
    for at = 1, #tags, TAG do visit(string.sub(tags, at, at + TAG - 1)) end
end

-- A list of tags: as it is stored, and what comes and goes. A commit of many entries does not write it again for each.
local function list(field)
    if not lists[field] then
        lists[field] = {stored = redis.call('HGET', hash, field) or '', added = {}, removed = {}}
    end
    return lists[field]
end

local function with(field, tag)
    local of = list(field)
    if of.removed[tag] then of.removed[tag] = nil else of.added[tag] = true end
end

local function without(field, tag)
    local of = list(field)
    if of.added[tag] then of.added[tag] = nil else of.removed[tag] = true end
end

local function listed(field)
    local of, tags = list(field), {}
    each_tag(of.stored, function(tag)
        if not of.removed[tag] then tags[#tags + 1] = tag end
    end)
    for tag in pairs(of.added) do tags[#tags + 1] = tag end
    return tags
end

local function link(tag, of, change)
    if of.account then change((of.kind == ACCOUNT and 'c' or 'a') .. of.account, tag) end
    each_tag(of.terms, function(term) change('t' .. term, tag) end)
end

local function put(tag, new)
    local old = entry(tag)
    if not old then
        entries = entries + 1
        link(tag, new, with)
    elseif old.kind ~= new.kind or old.account ~= new.account or old.terms ~= new.terms then
        link(tag, old, without)
        link(tag, new, with)
    end
    present[tag] = new
end

local function remove(tag)
    local old = entry(tag)
    if not old then return end
    link(tag, old, without)
    entries = entries - 1
    present[tag] = false
end

local function holds_account(accounts)
    local holds = false
    each_tag(accounts, function(account)
        if #listed('c' .. account) > 0 then holds = true end
    end)
    return holds
end

local function remove_accounts(accounts)
    each_tag(accounts, function(account)
        for _, field in ipairs({'c' .. account, 'a' .. account}) do
            for _, tag in ipairs(listed(field)) do remove(tag) end
        end
    end)
end

local function is_put(new, old, replaces, unreadable)
    local has_time, is_same = old.has_time, old.version == new.version
    if unreadable == 'd' .. old.stored then
        -- It is not what it says it is, neither its version nor its time: any put heals it.
        has_time = false
    elseif unreadable == 'k' .. old.stored and is_same then
        return true
    elseif is_same then
        return nil
    end
    if replaces == old.version then return true end
    if new.has_time and has_time then
        if new.wh ~= old.wh then return new.wh > old.wh end
        if new.wl ~= old.wl then return new.wl > old.wl end
    elseif new.has_time or has_time then
        return new.has_time
    end
    return replaces == ''
end

local at = 8
while at <= #ARGV do
    local op, code = ARGV[at], '.'
    if op == 'p' then
        local tag, stored, replaces, guard, unreadable = unpack(ARGV, at + 1, at + 5)
        local kind, named = string.sub(guard, 1, 1), string.sub(guard, 2)
        if (kind == 'a' and not holds_account(named)) or (kind == 'e' and not entry(named)) then
            code = 'g'
        else
            local new, old, applies = parse(stored), entry(tag), true
            if old then applies = is_put(new, old, replaces, unreadable) end
            if applies then put(tag, new) elseif applies == false then code = 'n' end
        end
        at = at + 6
    elseif op == 'r' then
        local tag, match = ARGV[at + 1], ARGV[at + 2]
        local old = entry(tag)
        if match ~= '' and old and old.version ~= match then code = 'm' else remove(tag) end
        at = at + 3
    else
        remove_accounts(ARGV[at + 1])
        at = at + 2
    end
    outcome[#outcome + 1] = code
end

local changed, dropped = false, ''
for tag, is in pairs(present) do
    if found[tag] ~= is then changed = true end
end

-- Drops the entries among these that the changes have not put, at most so many; of one kind alone if it is given. How many are
-- left to drop.
local function drop(tags, most, kind)
    for _, tag in ipairs(tags) do
        if most <= 0 then break end
        local is = present[tag] == nil and entry(tag)
        if is and goes_at(is) and (not kind or is.kind == kind) then
            remove(tag)
            dropped, most = 'dropped', most - 1
        elseif is == false and not present[tag] then
            -- It stands among the expiries alone.
            stale[#stale + 1] = tag
        end
    end
    return most
end

if changed and entries > 0 then
    -- Some of what has expired: later commits find the rest.
    drop(redis.call('ZRANGEBYSCORE', expiries, '-inf', '(' .. text(now), 'LIMIT', 0, SWEPT), SWEPT)
    local excess = ARGV[7] == '' and 0 or entries - tonumber(ARGV[7])
    -- Those first that expire first. The changes have put at most as many as they are; refresh tokens stand among them only if
    -- they are kept for less long than access tokens live.
    local size = excess + #outcome
    for page = 0, EVICTION_PAGES - 1 do
        if excess <= 0 then break end
        local tags = redis.call('ZRANGEBYSCORE', expiries, '-inf', '+inf', 'LIMIT', page * size, size)
        if #tags == 0 then break end
        excess = drop(tags, excess, ACCESS_TOKEN)
    end
end

local writes, deletes, scores, puts = {}, {}, {}, false
for tag, is in pairs(present) do
    local was = found[tag]
    if was ~= is then
        if not is then
            deletes[#deletes + 1] = 'e' .. tag
        else
            puts = true
            writes[#writes + 1], writes[#writes + 2] = 'e' .. tag, is.stored
            if is.expires then
                latest = math.max(latest, is.expires)
            elseif is.kind == REFRESH_TOKEN or is.kind == UNKNOWN then
                latest = math.max(latest, now + tonumber(ARGV[6]))
            end
        end
        local goes = is and goes_at(is)
        if goes then
            scores[#scores + 1], scores[#scores + 2] = text(goes), tag
        elseif was and goes_at(was) then
            stale[#stale + 1] = tag
        end
    end
end
-- Accounts and the like stay as long as the tokens beside them.
if latest == 0 then latest = now + tonumber(ARGV[6]) end

-- Whoever signs an account out everywhere must find it here as long as tokens of it may be here.
local accounts, is_unlisted = {}, entries > 0 and not generation
local stays = math.min(math.max(latest, now + LEAST), now + MOST)
for tag, is in pairs(present) do
    if is and is.account and found[tag] ~= is then accounts[is.account] = true end
end
for account in pairs(accounts) do
    if (tonumber(redis.call('HGET', hash, 'i' .. account) or '') or 0) >= stays then accounts[account] = nil end
end
if is_unlisted or next(accounts) then
    local listed, listed_until = string.match(ARGV[4], '^(%d+) (%d+)$')
    listed_until = tonumber(listed_until)
    -- Another node may have made it stay for longer meanwhile.
    if not listed or server_ms - tonumber(listed) > LISTED_FOR or stays > listed_until + LISTED_FOR then
        return {'list', text(server_ms), text(stays)}
    end
    -- Some time is added, so that a session that is refreshed again and again is not listed each time.
    local noted = text(listed_until + math.max(listed_until - now, 0) / 4)
    for account in pairs(accounts) do writes[#writes + 1], writes[#writes + 2] = 'i' .. account, noted end
end

if ARGV[5] ~= '' then
    redis.call('HSET', lease, 'f', ARGV[5])
    redis.call('PEXPIRE', lease, FENCES_FOR)
end

-- As many values at once as fit on Lua's stack.
local function call(command, key, values)
    for first = 1, #values, 4000 do
        redis.call(command, key, unpack(values, first, math.min(first + 3999, #values)))
    end
end

local after = before
if changed and entries <= 0 then
    redis.call('UNLINK', hash, expiries)
    after = ''
elseif changed then
    local emptied = {}
    for field, of in pairs(lists) do
        local tags
        if next(of.removed) then
            tags = table.concat(listed(field))
        else
            -- Without a look at what is in it.
            local parts = {of.stored}
            for tag in pairs(of.added) do parts[#parts + 1] = tag end
            tags = table.concat(parts)
        end
        if tags == '' then
            deletes[#deletes + 1], emptied[#emptied + 1] = field, string.sub(field, 2)
        elseif tags ~= of.stored then
            writes[#writes + 1], writes[#writes + 2] = field, tags
        end
    end
    for _, account in ipairs(emptied) do
        if #listed('c' .. account) + #listed('a' .. account) == 0 then deletes[#deletes + 1] = 'i' .. account end
    end
    local is_made = not generation
    -- Other random bytes with each change: a fail-over may lose a change, and the next one must not have its stamp. And the
    -- name anew, sealed by the present key.
    generation, version = ARGV[2], version + 1
    for _, value in ipairs({'g', generation, 'v', text(version), 'm', ARGV[3], 'n', text(entries), 'x', text(latest)}) do
        writes[#writes + 1] = value
    end
    -- A server whose memory is full refuses what a script adds, if it adds first. What only removes must be let through.
    if puts then call('HSET', hash, writes) end
    call('HDEL', hash, deletes)
    if not puts then call('HSET', hash, writes) end
    -- Of a partition that somebody has deleted by hand.
    if is_made then redis.call('UNLINK', expiries) end
    call('ZREM', expiries, stale)
    call('ZADD', expiries, scores)
    -- Never sooner than before, whatever the clocks say. (It is negative where there is no time to live yet.)
    local left = text(math.min(math.max(latest - now, LEAST, redis.call('PTTL', hash)), MOST))
    redis.call('PEXPIRE', hash, left)
    redis.call('PEXPIRE', expiries, left)
    after = stamp(generation, version)
end
return {'ok', before, after, table.concat(outcome), dropped}
