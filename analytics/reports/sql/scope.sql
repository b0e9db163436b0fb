site = {site:String}
  AND time >= {from:DateTime64(3, 'UTC')} AND time < {to:DateTime64(3, 'UTC')}
  AND bot = ''
  AND visitor NOT IN (SELECT visitor FROM restricted WHERE site = {site:String})
  AND visitor NOT IN (SELECT visitor FROM objected WHERE site = {site:String})
