from django.urls import path

from users import views

urlpatterns = [
    path("auth/token", views.TokenView.as_view()),
    path("auth/token/refresh", views.TokenRefreshView.as_view()),
    path("auth/logout", views.LogoutView.as_view()),
    path("auth/password-reset", views.PasswordResetView.as_view()),
    path("auth/password-reset/confirm", views.PasswordResetConfirmView.as_view()),
    path("auth/email-change/confirm", views.EmailConfirmView.as_view()),
    path("users", views.UserListView.as_view()),
    path("users/me", views.MeView.as_view()),
    path("users/<id:user_id>", views.UserView.as_view()),
]
